"""Two people review: versions, decisions, and nothing overwritten unseen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from plugin.state.audit import Action, AuditRow
from plugin.state.kept.reviews import ReviewStep
from plugin.state.tables import Draft
from tests.plugin.web.people import add_person, browser, refusal
from tests.plugin.web.reading.conftest import Rooms

REVIEW = "/api/studies/1.2.0/review"


def text_of(review: dict[str, Any], heading: str = "FINDINGS") -> str:
    return next(str(one["text"]) for one in review["sections"] if one["heading"] == heading)


def save(reader: TestClient, version: int, text: str) -> httpx.Response:
    sections = reader.get(REVIEW).json()["sections"]
    for one in sections:
        one["text"] = text if one["heading"] == "FINDINGS" else one["text"]
    return reader.put(REVIEW, json={"sections": sections}, headers={"If-Match": f'"{version}"'})


def decide(reader: TestClient, what: str, version: int, **more: object) -> httpx.Response:
    return reader.post(f"{REVIEW}/{what}", json={"version": version, **more})


@pytest.fixture
def ben(rooms: Rooms) -> TestClient:
    add_person(rooms.service.sessions, "ben", "radiologist")
    return browser(rooms.app, "ben")


def test_a_review_begins_as_the_draft(rooms: Rooms) -> None:
    answer = rooms.rob.get(REVIEW)
    begun = answer.json()
    assert (begun["version"], begun["draft_revision"], begun["state"]) == (0, 1, "open")
    assert text_of(begun) == "Small left pleural effusion."
    assert (begun["saved_by"], begun["history"], begun["object"]) == (None, [], None)
    assert answer.headers["etag"] == '"0"'


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_nobody_overwrites_what_they_have_not_seen(rooms: Rooms, ben: TestClient) -> None:
    first = save(rooms.ann, 0, "No effusion.")
    assert (first.status_code, first.headers["etag"]) == (200, '"1"')
    assert first.json()["saved_by"] == "Ann"
    refused = save(ben, 0, "Large effusion.")
    assert refused.status_code == 412
    assert text_of(refused.json()) == "No effusion."
    assert refused.headers["etag"] == '"1"'
    assert save(ben, 1, "Large effusion.\nBoth sides.").status_code == 200
    now = rooms.rob.get(REVIEW).json()
    assert (text_of(now), now["saved_by"]) == ("Large effusion.\nBoth sides.", "Ben")
    assert [(one["by"], one["action"]) for one in now["history"]] == [
        ("Ann", "edited"),
        ("Ben", "edited"),
    ]
    with rooms.service.sessions() as session:
        left = [text_of({"sections": one.sections}) for one in session.scalars(select(ReviewStep))]
    assert left[0] == "No effusion."


def test_edits_of_one_person_in_a_row_are_one_step(rooms: Rooms) -> None:
    for version in range(3):
        assert save(rooms.ann, version, f"Text {version}.").status_code == 200
    review = rooms.ann.get(REVIEW).json()
    assert (review["version"], len(review["history"])) == (3, 1)
    with rooms.service.sessions() as session:
        entries = [row.entry for row in session.scalars(select(AuditRow))]
    changed = [one.who.name for one in entries if one.action == Action.CHANGED]
    assert changed == ["ann"]


def test_only_radiologists_edit(rooms: Rooms) -> None:
    assert refusal(save(rooms.rob, 0, "Mine.")) == (403, "wrong-role")
    for what in ("later", "reopen"):
        assert refusal(decide(rooms.rob, what, 0)) == (403, "wrong-role")
    add_person(rooms.service.sessions, "eve", "administrator")
    assert refusal(save(browser(rooms.app, "eve"), 0, "Mine.")) == (403, "wrong-role")


def test_a_study_is_put_off_and_taken_up_again(rooms: Rooms) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    put_off = decide(rooms.ann, "later", 0, until=until.isoformat()).json()
    assert (put_off["state"], put_off["version"]) == ("later", 1)
    assert datetime.fromisoformat(put_off["until"]) == until
    assert rooms.ann.get("/api/studies/1.2.0").json()["state"] == "later"
    assert decide(rooms.ann, "later", 0).status_code == 412
    assert rooms.ann.post(f"{REVIEW}/reopen").json()["state"] == "open"
    assert decide(rooms.ann, "later", 2).json()["until"] is None
    assert save(rooms.ann, 3, "Now.").json()["state"] == "open"


def test_a_new_draft_is_told_and_taken_up_on_purpose(rooms: Rooms) -> None:
    save(rooms.ann, 0, "Mine.")
    with rooms.service.sessions.begin() as session:
        old = session.scalars(select(Draft)).one()
        old.is_current = False
    rooms.service.arrive(0, first=6)
    while rooms.service.worker.work_once():
        pass
    review = rooms.ann.get(REVIEW).json()
    draft = rooms.ann.get("/api/studies/1.2.0/draft").json()
    assert (review["draft_revision"], draft["revision"]) == (1, 2)
    assert text_of(review) == "Mine."
    taken_up = rooms.ann.post(f"{REVIEW}/reopen").json()
    assert (taken_up["draft_revision"], text_of(taken_up)) == (2, "Mine.")


def test_what_was_taken_back_is_not_edited(rooms: Rooms) -> None:
    with rooms.service.sessions.begin() as session:
        session.execute(update(Draft).values(retraction_path="note.dcm"))
    assert refusal(save(rooms.ann, 0, "Mine.")) == (409, "retracted")


@pytest.mark.parametrize(
    ("headers", "sections"),
    [
        ({"If-Match": '"x"'}, [{"heading": "FINDINGS", "title": "Findings", "text": "A"}]),
        ({}, [{"heading": "FINDINGS", "title": "Findings", "text": "A"}]),
        ({"If-Match": '"0"'}, []),
        ({"If-Match": '"0"'}, [{"heading": "SUMMARY", "title": "Summary", "text": "A"}]),
        ({"If-Match": '"0"'}, [{"heading": "FINDINGS", "title": "F", "text": "A"}] * 2),
        ({"If-Match": '"0"'}, [{"heading": "FINDINGS", "title": "F", "text": "A" * 50_000}]),
    ],
)
def test_what_is_no_text_of_a_report(
    rooms: Rooms, headers: dict[str, str], sections: list[dict[str, str]]
) -> None:
    answer = rooms.ann.put(REVIEW, json={"sections": sections}, headers=headers)
    assert refusal(answer) == (422, "invalid-request")


def test_a_text_keeps_its_lines_and_no_control_characters(rooms: Rooms) -> None:
    assert text_of(save(rooms.ann, 0, "Größe 3 cm.\nA\x1b[31m\0").json()) == (
        "Größe 3 cm.\nA\\x1b[31m\\x00"
    )
