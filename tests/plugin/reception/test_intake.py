"""What arrivals change in the database: one study, one pending job, a deadline that moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from plugin.reception import intake
from plugin.reception.intake import Arrival, Outcome, is_document
from plugin.state import completeness
from plugin.state.database import SessionFactory
from plugin.state.tables import (
    Draft,
    Event,
    Hold,
    Instance,
    Job,
    JobState,
    Quarantine,
    Study,
    Verdict,
)
from tests.plugin.arrivals import NOW, PATIENCE, arrival, document


@pytest.fixture
def record(sessions: SessionFactory):
    def record(*arrivals: Arrival, seconds: float = 0) -> list[Outcome]:
        now = NOW + timedelta(seconds=seconds)
        with sessions.begin() as session:
            return intake.record(session, arrivals, patience=PATIENCE, now=now)

    return record


def test_the_first_slice_makes_study_series_job_and_event(record, rows):
    assert record(arrival()) == [Outcome.NEW]
    (study,), (job,), (event,) = rows(Study), rows(Job), rows(Event)
    assert (study.state, study.accession_number) == ("receiving", "A1")
    assert (job.revision, job.state, job.deadline) == (1, "pending", NOW + PATIENCE.quiet)
    assert job.hard_deadline == NOW + PATIENCE.cap
    assert event.kind == "received"


def test_every_slice_moves_the_deadline_and_never_the_cap(record, rows):
    record(arrival(1))
    record(arrival(2), seconds=50)
    (job,) = rows(Job)
    assert job.deadline == NOW + timedelta(seconds=110)
    assert job.hard_deadline == NOW + PATIENCE.cap


def announced(number: int, of: int) -> Arrival:
    return replace(arrival(number), announced=of)


def test_the_quiet_period_ends_with_the_last_slice_that_was_announced(record, rows):
    record(announced(1, of=3))
    assert rows(Job)[0].deadline == NOW + PATIENCE.quiet
    record(announced(2, of=3), announced(3, of=3), seconds=5)
    assert rows(Job)[0].deadline == NOW + timedelta(seconds=5)


def test_slices_that_are_known_count_and_documents_do_not(record, rows):
    record(announced(1, of=2), document(9, modality="SR", series_instance_uid="1.2.6"))
    record(announced(1, of=2), seconds=1)
    assert rows(Job)[0].deadline == NOW + PATIENCE.quiet
    record(announced(2, of=2), announced(1, of=2), seconds=2)
    assert rows(Job)[0].deadline == NOW + timedelta(seconds=2)


def test_a_slice_beyond_what_was_announced_is_waited_for(record, rows):
    record(announced(1, of=1))
    record(arrival(2), seconds=1)
    assert rows(Job)[0].deadline == NOW + timedelta(seconds=1) + PATIENCE.quiet


def test_every_arrival_tells_when_the_study_came_last(record, rows):
    record(arrival(1))
    record(arrival(2), seconds=50)
    assert rows(Study)[0].last_received_at == NOW + timedelta(seconds=50)
    assert rows(Study)[0].first_received_at == NOW


def test_a_duplicate_moves_nothing(record, rows):
    record(arrival(1))
    assert record(arrival(1), seconds=50) == [Outcome.KNOWN]
    assert rows(Job)[0].deadline == NOW + PATIENCE.quiet
    assert len(rows(Instance)) == 1


def test_a_duplicate_within_one_group_is_known(record, rows):
    assert record(arrival(1), arrival(1)) == [Outcome.NEW, Outcome.KNOWN]
    assert len(rows(Instance)) == 1


def test_other_bytes_under_a_known_uid_are_kept_aside_once(record, rows):
    record(arrival(1))
    other = replace(arrival(1), sha256="f" * 64, path="instances/other.dcm")
    assert record(other) == [Outcome.QUARANTINED]
    assert record(other) == [Outcome.QUARANTINED]
    (aside,) = rows(Quarantine)
    assert (aside.path, aside.verdict) == ("instances/other.dcm", Verdict.WAITING)
    assert [e.kind for e in rows(Event)] == ["received", "came again"]


def test_however_many_come_again_one_event_says_so(record, rows):
    slices = [arrival(number) for number in range(1, 6)]
    record(*slices)
    record(*(replace(one, sha256=f"{k + 9:064x}") for k, one in enumerate(slices)))
    record(*(replace(one, sha256=f"{k + 90:064x}") for k, one in enumerate(slices)))
    assert [(e.kind, e.level) for e in rows(Event)] == [
        ("received", "info"),
        ("came again", "info"),
    ]


def test_other_bytes_move_the_deadline_and_open_the_next_revision(record, rows, sessions):
    record(arrival(1))
    record(replace(arrival(1), sha256="f" * 64), seconds=50)
    assert rows(Job)[0].deadline == NOW + timedelta(seconds=110)
    with sessions.begin() as session:
        session.scalars(select(Job)).one().state = JobState.DONE
    record(replace(arrival(1), sha256="e" * 64), seconds=100)
    assert [job.revision for job in rows(Job)] == [1, 2]


def test_what_was_compared_and_comes_again_opens_nothing_unless_it_is_asked_for(
    record, rows, sessions
):
    other = replace(arrival(1), sha256="f" * 64)
    record(arrival(1))
    record(other)
    with sessions.begin() as session:
        session.scalars(select(Job)).one().state = JobState.DONE
        session.scalars(select(Quarantine)).one().verdict = Verdict.REPLACED
    record(other)
    assert len(rows(Job)) == 1
    assert rows(Event)[-1].kind == "outdated"
    record(replace(other, redraft=True))
    assert [job.forced for job in rows(Job)] == [False, True]
    assert rows(Quarantine)[0].verdict == Verdict.ASKED


def test_a_state_before_a_correction_that_comes_again_is_told_once(record, rows, sessions):
    slices = [arrival(number) for number in range(1, 4)]
    older = [replace(one, sha256=f"{k + 9:064x}") for k, one in enumerate(slices)]
    record(*slices)
    record(*older)
    with sessions.begin() as session:
        for row in session.scalars(select(Quarantine)):
            row.verdict = Verdict.REPLACED
    record(*older)
    record(*older)
    (told,) = [one for one in rows(Event) if one.kind == "outdated"]
    assert told.level == "warning"
    assert "as they were before a correction: not read" in told.message


def test_the_same_content_that_comes_again_is_no_warning(record, rows, sessions):
    other = replace(arrival(1), sha256="f" * 64)
    record(arrival(1))
    record(other)
    with sessions.begin() as session:
        session.scalars(select(Quarantine)).one().verdict = Verdict.SAME
    record(other)
    assert [one.kind for one in rows(Event)] == ["received", "came again"]


def test_studies_of_one_group_are_kept_apart(record, rows):
    record(arrival(1, study="1.3"), arrival(2, study="1.2"), arrival(3, study="1.3"))
    assert {s.study_instance_uid for s in rows(Study)} == {"1.2", "1.3"}
    assert len(rows(Job)) == 2


@pytest.mark.parametrize("ended", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_a_slice_after_the_job_ended_opens_the_next_revision(record, rows, sessions, ended):
    record(arrival(1))
    with sessions.begin() as session:
        session.scalars(select(Job)).one().state = ended
    record(arrival(2), seconds=100)
    assert [(job.revision, job.state) for job in rows(Job)] == [(1, ended), (2, "pending")]
    assert rows(Event)[-1].message == "instances arrived after the last job: revision 2"


def test_a_slice_while_the_job_runs_opens_the_next_revision_too(record, rows, sessions):
    record(arrival(1))
    with sessions.begin() as session:
        session.scalars(select(Job)).one().state = JobState.RUNNING
    record(arrival(2))
    assert [job.state for job in rows(Job)] == ["running", "pending"]


def test_a_document_is_kept_and_opens_no_job(record, rows):
    record(document(1))
    assert not rows(Instance)[0].processed
    assert rows(Job) == []


def test_a_document_moves_no_deadline(record, rows):
    record(arrival(1))
    record(document(2), seconds=50)
    assert rows(Job)[0].deadline == NOW + PATIENCE.quiet


def test_our_own_object_opens_no_job_even_if_it_were_an_image(record, rows):
    own = replace(arrival(1), header=replace(arrival(1).header, own=True))
    record(own)
    assert rows(Job) == []


def test_a_redraft_of_known_slices_opens_a_forced_job(record, rows, sessions):
    record(arrival(1))
    with sessions.begin() as session:
        session.scalars(select(Job)).one().state = JobState.DONE
    record(replace(arrival(1), redraft=True))
    assert [(job.revision, job.forced) for job in rows(Job)] == [(1, False), (2, True)]
    assert "a new draft was asked for" in rows(Event)[-1].message


def test_a_redraft_while_a_job_waits_forces_that_one(record, rows):
    record(arrival(1))
    record(replace(arrival(2), redraft=True))
    assert [(job.revision, job.forced) for job in rows(Job)] == [(1, True)]


def test_an_association_holds_every_study_it_contributes_to_once(record, rows):
    record(arrival(1, association="a"), arrival(2, association="a"))
    record(arrival(3, study="1.3", association="a"))
    assert len(rows(Hold)) == 2


def test_released_associations_are_forgotten(record, rows, sessions):
    record(arrival(1, association="ended"), arrival(2, association="open"))
    with sessions.begin() as session:
        completeness.release(session, ["ended"])
    assert [row.association for row in rows(Hold)] == ["open"]


def test_a_heartbeat_is_written_for_the_associations_that_are_open(record, rows, sessions):
    record(arrival(1, association="a"), arrival(2, association="b"))
    later = NOW + timedelta(seconds=29)
    with sessions.begin() as session:
        completeness.beat(session, ["a"], later)
    assert [row.heartbeat for row in rows(Hold)] == [later, NOW]


def test_a_draft_of_ours_that_comes_back_without_its_marks_is_not_processed(record, rows, sessions):
    record(arrival(1))
    with sessions.begin() as session:
        job = session.scalars(select(Job)).one()
        job.state = JobState.DONE
        session.add(
            Draft(
                study_id=job.study_id,
                job_id=job.id,
                revision=1,
                state="complete",
                sop_instance_uid="1.2.77",
                series_instance_uid="1.2.7",
                path="drafts/1.2.77.dcm",
                selected_digest="0" * 64,
                created_at=NOW,
            )
        )
    record(document(2, sop_instance_uid="1.2.77"))
    assert not rows(Instance)[-1].processed
    assert len(rows(Job)) == 1


@pytest.mark.parametrize(
    ("uid", "document"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", False),
        ("1.2.840.10008.5.1.4.1.1.2.1", False),
        ("1.2.840.10008.5.1.4.1.1.4", False),
        ("1.2.840.10008.5.1.4.1.1.7", True),
        ("1.2.840.10008.5.1.4.1.1.7.2", True),
        ("1.2.840.10008.5.1.4.1.1.88.33", True),
        ("1.2.840.10008.5.1.4.1.1.88.67", True),
        ("1.2.840.10008.5.1.4.1.1.11.1", True),
        ("1.2.840.10008.5.1.4.1.1.104.1", True),
        ("1.2.840.10008.5.1.4.1.1.66.4", True),
    ],
)
def test_documents_are_told_from_images(uid, document):
    assert is_document(uid) == document
