"""The list of studies: where each stands, who is meant, and who may see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pydicom import dcmread
from sqlalchemy import select, update

from plugin.rules.urgency import Urgency
from plugin.state.audit import Action, AuditRow
from plugin.state.kept.listings import Listing, forget_listing
from plugin.state.kept.reviews import Review, ReviewState
from plugin.state.tables import Draft, Job, JobState, Study
from plugin.web.reading.naming import name_some
from plugin.web.reading.rows import State
from tests.plugin.feedback.conftest import Ward
from tests.plugin.web.people import refusal
from tests.plugin.web.reading.conftest import Rooms, reading_room


def states(rooms: Rooms, **asked: str) -> dict[str, str]:
    answer = rooms.rob.get("/api/worklist", params=asked).json()
    return {one["study_instance_uid"]: one["state"] for one in answer["studies"]}


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_row_tells_study_and_patient(drafted: Callable[..., Ward]) -> None:
    rooms = reading_room(drafted(2))
    told = rooms.rob.get("/api/worklist").json()
    assert [one["study_instance_uid"] for one in told["studies"]] == ["1.2.1", "1.2.0"]
    row = told["studies"][0]
    assert row["patient"]["id"] == "P"
    assert row["state"] in ("draft", "partial")
    assert row["urgency"] == "routine"
    assert (row["revision"], row["undelivered"], row["readers"]) == (1, 2, [])
    assert told["counts"] == {row["state"]: 2}
    assert told["next"] is None
    first = rooms.rob.get("/api/worklist", params={"limit": 1}).json()
    assert first["next"] == "1.2.1"
    rest = rooms.rob.get("/api/worklist", params={"limit": 1, "after": first["next"]}).json()
    assert [one["study_instance_uid"] for one in rest["studies"]] == ["1.2.0"]


def test_where_a_study_stands(rooms: Rooms) -> None:
    now = datetime.now(UTC)
    sessions = rooms.service.sessions
    rooms.service.arrive(1)

    def job(**values: object) -> None:
        of_second = select(Study.id).where(Study.study_instance_uid == "1.2.1")
        with sessions.begin() as session:
            job = update(Job).where(Job.study_id == of_second.scalar_subquery())
            session.execute(job.values(**values))

    assert states(rooms)["1.2.1"] == State.WAITING
    job(deadline=now + timedelta(hours=1))
    assert states(rooms)["1.2.1"] == State.RECEIVING
    job(state=JobState.RUNNING)
    assert states(rooms, state="drafting,waiting") == {"1.2.1": State.DRAFTING}

    def review(state: ReviewState, until: datetime | None = None) -> str:
        with sessions.begin() as session:
            draft = session.scalars(select(Draft)).one()
            row = session.scalar(select(Review)) or Review(
                study_id=draft.study_id, draft_id=draft.id, version=1, sections=[]
            )
            row.state, row.until, row.saved_at, row.saved_by = state, until, now, "Ann"
            session.add(row)
        return states(rooms)["1.2.0"]

    assert review(ReviewState.OPEN) in (State.DRAFT, State.PARTIAL)
    assert review(ReviewState.LATER) == State.LATER
    assert review(ReviewState.LATER, now - timedelta(hours=1)) in (State.DRAFT, State.PARTIAL)
    assert review(ReviewState.REJECTED) == State.REJECTED
    assert rooms.rob.get("/api/studies/1.2.0").json()["reviewed_by"] == "Ann"
    with sessions.begin() as session:
        session.execute(update(Draft).values(retraction_path="note.dcm"))
    assert states(rooms)["1.2.0"] == State.RETRACTED


def test_the_most_urgent_come_first_among_those_that_wait(drafted: Callable[..., Ward]) -> None:
    rooms = reading_room(drafted(3))
    with rooms.service.sessions.begin() as session:
        urgent = select(Study.id).where(Study.study_instance_uid == "1.2.2").scalar_subquery()
        session.execute(update(Job).where(Job.study_id == urgent).values(urgency=int(Urgency.STAT)))
    waiting = {"state": "draft,partial,later", "limit": "1"}
    found, after = [], ""
    while after is not None:
        page = rooms.rob.get("/api/worklist", params={**waiting, "after": after}).json()
        found += [one["study_instance_uid"] for one in page["studies"]]
        after = page["next"]
    assert found == ["1.2.2", "1.2.0", "1.2.1"]
    assert list(states(rooms, urgency="stat")) == ["1.2.2"]


def test_a_study_is_found_by_name_and_number(rooms: Rooms) -> None:
    with rooms.service.sessions.begin() as session:
        for path in rooms.service.spool.root.glob("instances/*.dcm"):
            image = dcmread(path)
            image.PatientName = "Müller^Änne"
            image.save_as(path)
        study = session.scalars(select(Study)).one()
        study.accession_number = "A_1"
    assert name_some(rooms.room.archive) == 1
    assert name_some(rooms.room.archive) == 0
    for sought in ("änne", "MÜLLER Ä", "ülle", "A_", "1.2.0"):
        assert list(states(rooms, search=sought)) == ["1.2.0"], sought
    for sought in ("meier", "müller paul", "A1", "_1", "1.2", "%"):
        assert states(rooms, search=sought) == {}, sought
    assert states(rooms, model="another") == {}


def test_a_corrected_name_is_read_anew(rooms: Rooms) -> None:
    states(rooms)
    with rooms.service.sessions.begin() as session:
        listed = session.scalars(select(Listing)).one()
        listed.patient_id = "an older one"
        session.flush()
        forget_listing(session, listed.study_id)
    assert rooms.rob.get("/api/worklist").json()["studies"][0]["patient"]["id"] == "P"


@pytest.mark.parametrize(
    "asked",
    [{"state": "nowhere"}, {"urgency": "soon"}, {"after": "1.2.99"}, {"after": "\0"}],
)
def test_a_question_that_makes_no_sense(rooms: Rooms, asked: dict[str, str]) -> None:
    assert rooms.rob.get("/api/worklist", params=asked).status_code == 400
    assert rooms.rob.get("/api/worklist", params={"limit": 0}).status_code == 422
    assert rooms.rob.get("/api/worklist", params={"search": "\0"}).status_code == 200


def test_whoever_looks_stands_in_the_audit_trail_once(rooms: Rooms) -> None:
    for _ in range(2):
        states(rooms)
        rooms.rob.get("/api/studies/1.2.0")
        rooms.rob.get("/api/studies/1.2.0/draft")
        rooms.ann.get("/api/studies/1.2.0")
    with rooms.service.sessions() as session:
        entries = [row.entry for row in session.scalars(select(AuditRow))]
    seen = [(one.who.name, one.detail) for one in entries if one.action == Action.VIEWED]
    draft, listed = "its draft, in the reading room", "the list of studies, with its patients"
    assert seen == [("rob", listed), ("rob", draft), ("ann", draft)]


def test_nobody_sees_anything_without_a_session(rooms: Rooms) -> None:
    rooms.rob.cookies.clear()
    for path in ("worklist", "events", "studies/1.2.0", "studies/1.2.0/draft"):
        assert refusal(rooms.rob.get(f"/api/{path}")) == (401, "no-session")
