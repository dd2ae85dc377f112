"""A radiologist decides: what is committed, what leaves the house, and what stays of a refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import event, select, update

from dicom_io.archives.orthanc import Orthanc
from plugin.delivery.delivery import deliver_to
from plugin.delivery.destinations import Destination, Proof
from plugin.delivery.outbox import Outbox
from plugin.feedback.signed import accepted_here, waiting
from plugin.reception.sweep import sweep
from plugin.state.audit import Action, AuditRow, Who
from plugin.state.tables import Delivery, DeliveryState, Draft, Event, Final, Job
from plugin.web.beside.reports import report_of as report_beside
from plugin.web.reading.decisions import Consequences
from plugin.web.reading.feed import Feed
from plugin.web.reading.reviews import Reader
from reporting.objects.render import report_sections
from tests.orthanc import RunningOrthanc
from tests.plugin.arrivals import PATIENCE
from tests.plugin.feedback.conftest import Ward
from tests.plugin.web.people import add_person, browser, refusal
from tests.plugin.web.reading.conftest import Rooms, reading_room
from tests.plugin.web.reading.test_reviews import REVIEW, decide, save


class Shelf:
    """A destination that takes everything."""

    def __init__(self) -> None:
        self.taken: list[Dataset] = []

    def store(self, *paths: Path) -> None:
        self.taken += [dcmread(path) for path in paths]


def deliver(rooms: Rooms, *destinations: Destination) -> None:
    outbox = Outbox(rooms.service.sessions, rooms.service.spool.root)
    for one in destinations:
        deliver_to(outbox, one)


def finals(rooms: Rooms) -> list[Final]:
    with rooms.service.sessions() as session:
        return list(session.scalars(select(Final).order_by(Final.id)))


def report_of(rooms: Rooms, final: Final) -> Dataset:
    return dcmread(rooms.service.spool.absolute(final.path))


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_an_edited_text_is_accepted_and_due_where_the_draft_went(rooms: Rooms) -> None:
    save(rooms.ann, 0, "No effusion.\nHeart of normal size.")
    accepted = decide(rooms.ann, "accept", 1).json()
    assert (accepted["state"], accepted["version"]) == ("accepted", 2)
    (final,) = finals(rooms)
    assert accepted["object"] == {"sop_instance_uid": final.sop_instance_uid, "state": "pending"}
    report = report_of(rooms, final)
    told = dict(report_sections(report))
    assert told["Findings"] == ["No effusion.", "Heart of normal size."]
    assert "edited and accepted by Ann" in told["Summary"][0]
    with rooms.service.sessions() as session:
        draft = session.scalars(select(Draft)).one()
        rows = session.scalars(select(Delivery).where(Delivery.final_id == final.id))
        due = {one.destination: (one.state, one.path) for one in rows}
        assert due == dict.fromkeys(("strict", "plain"), ("pending", final.path))
        assert len(draft.deliveries) == 2
        entry = session.scalars(select(AuditRow).order_by(AuditRow.position.desc())).first()
        assert entry is not None
        assert entry.entry.action == Action.ACCEPTED
        assert entry.entry.who.name == "ann"
        assert entry.entry.study is not None
        assert entry.entry.study.objects[0].uids == (final.sop_instance_uid,)
        said = session.scalars(select(Event.message).order_by(Event.id.desc())).first()
    assert said == "draft 1: it is accepted after edits; the report goes to plain, strict"
    assert rooms.rob.get("/api/studies/1.2.0").json()["state"] == "accepted"
    assert rooms.rob.get("/api/studies/1.2.0").json()["undelivered"] == 4
    assert list(rooms.service.spool.unrecorded()) == []


def test_the_report_is_delivered_like_a_draft(rooms: Rooms) -> None:
    decide(rooms.ann, "accept", 0)
    shelf = Shelf()
    deliver(rooms, Destination("plain", shelf, Proof.NONE))  # type: ignore[arg-type]
    (final,) = finals(rooms)
    assert [one.SOPInstanceUID for one in shelf.taken][1:] == [final.sop_instance_uid]
    with rooms.service.sessions() as session:
        said = session.scalars(select(Event.message).order_by(Event.id.desc())).first()
    assert said is not None
    assert said.startswith("accepted report of draft 1: delivered to plain")


def test_a_report_stands_proved_in_an_archive(rooms: Rooms, orthanc: RunningOrthanc) -> None:
    with rooms.service.sessions.begin() as session:
        for one in session.scalars(select(Delivery)):
            if one.destination == "strict":
                session.delete(one)
    save(rooms.ann, 0, "No effusion.")
    decide(rooms.ann, "accept", 1)
    deliver(rooms, Destination("plain", Orthanc(orthanc.url)))
    review = rooms.ann.get(REVIEW).json()
    assert review["object"]["state"] == DeliveryState.PROVED
    assert rooms.ann.get("/api/studies/1.2.0").json()["undelivered"] == 0


def test_of_two_who_decide_one_is_told(rooms: Rooms) -> None:
    add_person(rooms.service.sessions, "ben", "radiologist")
    ben = browser(rooms.app, "ben")
    assert decide(ben, "reject", 0, reason="Wrong side.").json()["reason"] == "Wrong side."
    late = decide(rooms.ann, "accept", 0)
    assert late.status_code == 412
    assert late.json()["state"] == "rejected"
    assert refusal(decide(rooms.ann, "accept", 1)) == (409, "decided")
    assert refusal(save(rooms.ann, 1, "Mine.")) == (409, "decided")
    assert finals(rooms) == []
    assert rooms.ann.post(f"{REVIEW}/reopen").json()["version"] == 2
    assert decide(rooms.ann, "accept", 2).status_code == 200
    history = [(one["by"], one["action"]) for one in rooms.rob.get(REVIEW).json()["history"]]
    assert history == [("Ben", "rejected"), ("Ann", "reopened"), ("Ann", "accepted")]


def test_a_second_report_replaces_the_first(rooms: Rooms) -> None:
    decide(rooms.ann, "accept", 0)
    rooms.ann.post(f"{REVIEW}/reopen")
    save(rooms.ann, 2, "A second look: no effusion.")
    decide(rooms.ann, "accept", 3)
    first, second = finals(rooms)
    assert (first.is_current, second.is_current) == (False, True)
    assert (first.edited, second.edited) == (False, True)
    replaced = [
        study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for study in report_of(rooms, second).PredecessorDocumentsSequence
    ]
    assert replaced[1:] == [first.sop_instance_uid]
    shelf = Shelf()
    deliver(rooms, Destination("plain", shelf, Proof.NONE))  # type: ignore[arg-type]
    assert [one.SOPInstanceUID for one in shelf.taken][1:] == [second.sop_instance_uid]


@pytest.mark.parametrize(
    ("follows", "flags"),
    [
        (Consequences(), ("PRELIMINARY", "UNVERIFIED")),
        (Consequences(final=True), ("FINAL", "UNVERIFIED")),
        (Consequences(final=True, verified_for="St. Mary"), ("FINAL", "VERIFIED")),
    ],
)
def test_the_site_says_what_acceptance_means(
    drafted: Callable[..., Ward], follows: Consequences, flags: tuple[str, str]
) -> None:
    rooms = reading_room(drafted(1), follows)
    decide(rooms.ann, "accept", 0)
    report = report_of(rooms, finals(rooms)[0])
    assert (report.PreliminaryFlag, report.VerificationFlag) == flags


def test_a_site_may_want_no_object(drafted: Callable[..., Ward]) -> None:
    rooms = reading_room(drafted(1), Consequences(what="copy"))
    review = decide(rooms.ann, "accept", 0).json()
    assert (review["state"], review["object"]) == ("accepted", None)
    (final,) = finals(rooms)
    assert (final.path, final.sop_instance_uid) == ("", None)
    assert "Small left pleural effusion." in final.text


def judged(rooms: Rooms, **decided: str) -> None:
    """As if a rule had decided so of the study."""
    with rooms.service.sessions.begin() as session:
        for job in session.scalars(select(Job)):
            job.decision = decided


def test_a_rule_says_it_otherwise_for_its_studies(drafted: Callable[..., Ward]) -> None:
    rooms = reading_room(drafted(1), Consequences(what="copy"))
    judged(rooms, acceptance="object", acceptance_status="final")
    decide(rooms.ann, "accept", 0)
    (final,) = finals(rooms)
    assert report_of(rooms, final).PreliminaryFlag == "FINAL"
    assert Consequences(what="copy", final=True).of(None) == Consequences(what="copy", final=True)


def test_only_destinations_of_messages_get_a_text_where_the_site_wants_no_object(
    rooms: Rooms,
) -> None:
    with rooms.service.sessions.begin() as session:
        session.execute(update(Delivery).where(Delivery.destination == "plain").values(kind="hl7"))
    judged(rooms, acceptance="messages")
    decide(rooms.ann, "accept", 0)
    (final,) = finals(rooms)
    with rooms.service.sessions() as session:
        due = session.scalars(select(Delivery.destination).where(Delivery.final_id == final.id))
        assert due.all() == ["plain"]


def test_a_rejected_draft_is_taken_back_where_the_site_wants_it(
    drafted: Callable[..., Ward],
) -> None:
    rooms = reading_room(drafted(1), Consequences(retracts=True, rejection_notes=("strict",)))
    assert refusal(decide(rooms.ann, "reject", 0)) == (422, "no-reason")
    assert decide(rooms.ann, "reject", 0, reason="Wrong side.").json()["state"] == "rejected"
    assert rooms.ann.get("/api/studies/1.2.0").json()["state"] == "retracted"
    with rooms.service.sessions() as session:
        notes = session.scalars(select(Delivery).where(Delivery.retracts)).all()
        messages = session.scalars(select(Event.message)).all()
    assert [one.destination for one in notes] == ["strict"]
    assert not any("Wrong side" in one for one in messages)
    assert refusal(decide(rooms.ann, "accept", 1)) == (409, "retracted")


def test_nothing_is_left_of_an_acceptance_that_was_not_committed(rooms: Rooms) -> None:
    def killed(_: object) -> None:
        raise SystemExit

    engine = rooms.service.sessions.kw["bind"]
    drafts = rooms.service.spool.drafts
    before = sorted(drafts.iterdir())
    event.listen(engine, "commit", killed)
    try:
        with pytest.raises(SystemExit):
            rooms.room.decisions.accept("1.2.0", 0, reader_of())
    finally:
        event.remove(engine, "commit", killed)
    assert sorted(drafts.iterdir()) == before
    assert finals(rooms) == []
    assert rooms.ann.get(REVIEW).json()["version"] == 0


def test_a_rejection_and_its_retraction_are_one(drafted: Callable[..., Ward]) -> None:
    rooms = reading_room(drafted(1), Consequences(retracts=True, rejection_notes=("strict",)))
    engine, spool = rooms.service.sessions.kw["bind"], rooms.service.spool
    before, commits = sorted(spool.drafts.iterdir()), []

    def killed(_: object) -> None:
        commits.append("one")
        raise SystemExit

    event.listen(engine, "commit", killed)
    try:
        with pytest.raises(SystemExit):
            rooms.room.decisions.reject("1.2.0", 0, "Wrong side.", reader_of())
    finally:
        event.remove(engine, "commit", killed)
    assert commits == ["one"]
    assert sorted(spool.drafts.iterdir()) == before
    assert rooms.ann.get(REVIEW).json()["state"] == "open"
    with rooms.service.sessions() as session:
        assert session.scalars(select(Delivery).where(Delivery.retracts)).all() == []
        assert session.scalars(select(Draft)).one().retraction_path is None
    rooms.room.decisions.reject("1.2.0", 0, "Wrong side.", reader_of())
    assert rooms.ann.get("/api/studies/1.2.0").json()["state"] == "retracted"
    assert spool.unrecorded() == []


def reader_of() -> Reader:
    return Reader("Ann", Who(kind="person", name="ann"))


def test_a_report_whose_process_died_after_the_commit_stays(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = rooms.service.spool
    monkeypatch.setattr(type(spool), "recorded", lambda *_: None)
    decide(rooms.ann, "accept", 0)
    monkeypatch.undo()
    assert len(spool.unrecorded()) == 1
    monkeypatch.setattr(type(spool), "is_old", lambda *_: True)
    sweep(rooms.service.sessions, spool, patience=PATIENCE)
    assert spool.absolute(finals(rooms)[0].path).is_file()
    assert spool.unrecorded() == []


def test_only_radiologists_decide(rooms: Rooms) -> None:
    for what in ("accept", "reject"):
        assert refusal(decide(rooms.rob, what, 0, reason="no")) == (403, "wrong-role")


def test_a_report_without_text_is_not_accepted(rooms: Rooms) -> None:
    sections = rooms.ann.get(REVIEW).json()["sections"]
    for one in sections:
        one["text"] = " " if one["heading"] != "TECHNIQUE" else one["text"]
    rooms.ann.put(REVIEW, json={"sections": sections}, headers={"If-Match": '"0"'})
    assert refusal(decide(rooms.ann, "accept", 1)) == (409, "empty-report")


def test_what_was_accepted_teaches(rooms: Rooms) -> None:
    save(rooms.ann, 0, "No effusion.")
    decide(rooms.ann, "accept", 1)
    service = rooms.service
    until = datetime.now(UTC) + timedelta(hours=1)
    (one,) = waiting(service.sessions, service.spool, None, until)
    assert "Small left pleural effusion." in one.text
    assert accepted_here(service.sessions)(one) == "Impressions:\nNone.\n\nFindings:\nNo effusion."


def test_beside_other_studies_the_accepted_text_is_shown(rooms: Rooms) -> None:
    assert report_beside(rooms.room.archive, "1.2.0").state in ("complete", "partial")
    save(rooms.ann, 0, "No effusion.")
    decide(rooms.ann, "accept", 1)
    shown = report_beside(rooms.room.archive, "1.2.0")
    assert shown.state == "accepted"
    assert "No effusion." in (shown.text or "")


def test_a_save_is_told_to_other_pages(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(rooms.service.sessions)
    told: list[object] = []
    monkeypatch.setattr(feed, "tell", told.extend)
    feed.look()
    for version in range(2):
        save(rooms.ann, version, f"Text {version}.")
        feed.look()
    feed.look()
    assert [str(one) for one in told] == [
        'event: study\ndata: {"study_instance_uid": "1.2.0"}\n\n'
    ] * 2
