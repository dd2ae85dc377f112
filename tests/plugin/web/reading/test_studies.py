"""A study's page: its series, its draft, and who else has it open."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from plugin.state.kept.heat_maps import HeatMap
from plugin.state.kept.people import SignIn
from plugin.state.kept.reviews import Presence
from plugin.state.tables import Draft
from plugin.web.reading.presence import GONE_AFTER
from tests.plugin.web.people import refusal
from tests.plugin.web.reading.conftest import Rooms

STUDY = "/api/studies/1.2.0"


def test_a_study_is_told_with_its_series(rooms: Rooms) -> None:
    told = rooms.rob.get(STUDY).json()
    (series,) = told["series"]
    assert series["series_instance_uid"] == "1.2.0.5"
    assert (series["images"], series["modality"], series["drafted"]) == (6, "CT", True)
    assert told["timeline"][-1]["text"].startswith("draft 1 written")
    assert told["ohif"] is None


def test_a_draft_is_told_sentence_by_sentence(rooms: Rooms) -> None:
    draft = rooms.rob.get(f"{STUDY}/draft").json()
    sentences = {
        section["heading"]: [one["text"] for one in section["sentences"]]
        for section in draft["sections"]
    }
    assert sentences["FINDINGS"] == ["Small left pleural effusion."]
    assert sentences["IMPRESSION"] == ["None."]
    assert list(sentences) == ["IMPRESSION", "FINDINGS", "TECHNIQUE"]
    assert draft["notices"][0].startswith("AI DRAFT - NOT VERIFIED")
    assert (draft["has_confidence"], draft["has_evidence"]) == (False, False)
    assert {one["destination"]: one["state"] for one in draft["deliveries"]} == {
        "strict": "pending",
        "plain": "pending",
    }
    identities = [one["id"] for section in draft["sections"] for one in section["sentences"]]
    assert len(set(identities)) == len(identities)
    assert refusal(rooms.rob.get(f"{STUDY}/heat/s1")) == (404, "no-heat-map")


def test_a_sentence_has_the_map_of_its_words(rooms: Rooms) -> None:
    grid = {"dimensions": [2, 1, 1], "spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1]}
    with rooms.service.sessions.begin() as session:
        draft = session.scalars(select(Draft)).one()
        for sentence, values in [
            ("Small left", b"\1\2"),
            ("Small left pleural effusion.", b"\0\xff"),
        ]:
            session.add(HeatMap(draft=draft, sentence=sentence, grid=grid, values=values))
    sections = rooms.rob.get(f"{STUDY}/draft").json()["sections"]
    said = {one["text"]: one["id"] for section in sections for one in section["sentences"]}
    answer = rooms.rob.get(f"{STUDY}/heat/{said['Small left pleural effusion.']}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (json.loads(answer.headers["x-heat"]), answer.content) == (grid, b"\0\xff")
    for other in (said["None."], "s99", "x"):
        assert refusal(rooms.rob.get(f"{STUDY}/heat/{other}")) == (404, "no-heat-map")


def test_a_draft_that_was_deleted(rooms: Rooms) -> None:
    with rooms.service.sessions.begin() as session:
        session.execute(update(Draft).values(path=""))
    assert refusal(rooms.rob.get(f"{STUDY}/draft")) == (404, "draft-deleted")
    assert rooms.rob.get(STUDY).json()["series"][0]["drafted"] is False


def test_studies_that_there_are_not(rooms: Rooms) -> None:
    rooms.service.arrive(1)
    assert refusal(rooms.rob.get("/api/studies/1.2.1/draft")) == (404, "no-draft")
    for uid in ("1.2.99", "%00", "..%2F..", "x"):
        assert rooms.rob.get(f"/api/studies/{uid}/draft").status_code == 404


def test_who_has_a_study_open_is_told(rooms: Rooms) -> None:
    assert [one["name"] for one in rooms.ann.post(f"{STUDY}/presence").json()["readers"]] == ["Ann"]
    both = rooms.rob.post(f"{STUDY}/presence").json()["readers"]
    assert [one["name"] for one in both] == ["Ann", "Rob"]
    assert rooms.rob.get(STUDY).json()["readers"] == ["Ann", "Rob"]
    with rooms.service.sessions.begin() as session:
        ann = session.scalars(select(Presence).where(Presence.person == "ann")).one()
        ann.seen_at -= GONE_AFTER + timedelta(seconds=1)
    assert rooms.rob.get(STUDY).json()["readers"] == ["Rob"]
    rooms.rob.post(f"{STUDY}/presence")
    with rooms.service.sessions() as session:
        assert [one.person for one in session.scalars(select(Presence))] == ["rob"]


def test_a_page_that_is_only_open_keeps_no_session_alive(rooms: Rooms) -> None:
    def used_at() -> datetime:
        with rooms.service.sessions() as session:
            return session.scalars(select(SignIn.used_at).where(SignIn.person_name == "ann")).one()

    with rooms.service.sessions.begin() as session:
        session.execute(update(SignIn).values(used_at=datetime.now(UTC) - timedelta(minutes=20)))
    before = used_at()
    rooms.ann.post(f"{STUDY}/presence")
    assert used_at() == before
    rooms.ann.get(STUDY)
    assert used_at() > before
