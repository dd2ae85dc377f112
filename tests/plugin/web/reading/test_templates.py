"""Texts by name: one's own, and the house's."""

from __future__ import annotations

from tests.plugin.web.people import add_person, browser, refusal
from tests.plugin.web.reading.conftest import Rooms

MACRO = {"kind": "macro", "heading": "FINDINGS", "text": "No effusion.\n", "language": "en"}


def test_own_texts_are_kept_changed_and_deleted(rooms: Rooms) -> None:
    assert rooms.ann.put("/api/templates/ne", json=MACRO).json() == {"name": "ne", **MACRO}
    assert rooms.ann.get("/api/templates").json()["mine"] == [{"name": "ne", **MACRO}]
    changed = {**MACRO, "text": "Kein Erguss.", "language": "de", "heading": None}
    rooms.ann.put("/api/templates/ne", json=changed)
    assert rooms.ann.get("/api/templates").json() == {
        "house": [],
        "mine": [{"name": "ne", **changed}],
    }
    assert rooms.rob.get("/api/templates").json()["mine"] == []
    assert rooms.ann.delete("/api/templates/ne").status_code == 204
    assert refusal(rooms.ann.delete("/api/templates/ne")) == (404, "not-found")


def test_administrators_keep_those_of_the_house(rooms: Rooms) -> None:
    house = {"house": "true"}
    assert refusal(rooms.ann.put("/api/templates/n", json=MACRO, params=house)) == (
        403,
        "wrong-role",
    )
    add_person(rooms.service.sessions, "eve", "administrator")
    eve = browser(rooms.app, "eve")
    assert eve.put("/api/templates/n", json=MACRO, params=house).status_code == 200
    assert [one["name"] for one in rooms.rob.get("/api/templates").json()["house"]] == ["n"]
    assert eve.delete("/api/templates/n", params=house).status_code == 204


def test_names_and_texts_that_are_none(rooms: Rooms) -> None:
    for name in ("a.b", "a b", "%00", "x" * 65):
        assert rooms.ann.put(f"/api/templates/{name}", json=MACRO).status_code in (404, 422), name
    for wrong in ({"heading": "SUMMARY"}, {"language": "xx"}, {"text": "A" * 20_001}):
        answer = rooms.ann.put("/api/templates/a", json={**MACRO, **wrong})
        assert refusal(answer) == (422, "invalid-request")
