"""When a study is due, who has it, and how the work ends."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from dicom_io.errors import LeaseLost
from plugin.drafting import job_ends, jobs
from plugin.drafting.job_ends import NewDraft
from plugin.reception import intake
from plugin.state import completeness
from plugin.state.database import SessionFactory
from plugin.state.studies import lock_study
from plugin.state.tables import Delivery, Draft, DraftState, Event, Hold, Job, JobState, Study
from plugin.state.watch import STALE_S, Watch
from tests.plugin.arrivals import NOW, PATIENCE, arrival

DUE = NOW + PATIENCE.quiet
LEASE_S = 60.0


@pytest.fixture
def arrive(sessions: SessionFactory):
    def arrive(*numbers: int, seconds: float = 0, association: str | None = None) -> None:
        now = NOW + timedelta(seconds=seconds)
        arrivals = [arrival(n, association=association) for n in numbers]
        with sessions.begin() as session:
            intake.record(session, arrivals, patience=PATIENCE, now=now)

    return arrive


@pytest.fixture
def claim(sessions: SessionFactory):
    def claim(now: datetime = DUE, attempts: int = 3, watch: Watch | None = None):
        watch = watch or Watch(PATIENCE, LEASE_S)
        return jobs.claim_job(sessions, watch, attempts=attempts, now=now)

    return claim


def draft(number: int = 1) -> NewDraft:
    uid = f"1.2.7.{number}"
    return NewDraft(uid, "1.2.7", f"{number:064x}", DraftState.COMPLETE, f"drafts/{uid}.dcm")


def finish(sessions: SessionFactory, taken, new: NewDraft, now: datetime = DUE) -> None:
    job_ends.finish_with_draft(sessions, taken, new, destinations={"pacs": "dimse"}, now=now)


def test_a_study_is_not_due_before_the_quiet_period_ends(arrive, claim):
    arrive(1)
    assert claim(DUE - timedelta(milliseconds=1)) is None
    assert claim(DUE) is not None


def test_a_claim_names_the_files_in_the_order_of_arrival(arrive, claim):
    arrive(2)
    arrive(1)
    taken = claim()
    assert taken.paths == ("instances/2.dcm", "instances/1.dcm")
    assert (taken.revision, taken.attempt, taken.previous) == (1, 1, None)


def test_a_job_is_claimed_once(arrive, claim):
    arrive(1)
    assert claim()
    assert claim() is None


def test_workers_that_claim_together_get_a_job_each(sessions):
    with sessions.begin() as session:
        for number in range(1, 13):
            one = arrival(number, study=f"1.{number}")
            intake.record(session, [one], patience=PATIENCE, now=NOW)
    taken: list[int] = []

    def work() -> None:
        watch = Watch(PATIENCE, LEASE_S)
        while (claimed := jobs.claim_job(sessions, watch, attempts=3, now=DUE)) is not None:
            taken.append(claimed.study_id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == list(range(1, 13))


def test_a_study_that_somebody_changes_is_passed_over(sessions, claim):
    if sessions.kw["bind"].dialect.name == "sqlite":
        return  # one transaction at a time
    with sessions.begin() as session:
        for number in (1, 2):
            one = arrival(number, study=f"1.{number}")
            intake.record(session, [one], patience=PATIENCE, now=NOW)
    with sessions.begin() as session:
        lock_study(session, 1)
        assert claim().study_id == 2
        assert claim() is None
    assert claim().study_id == 1


def test_the_database_says_who_works_on_a_job(arrive, claim, rows):
    arrive(1)
    claim()
    assert rows(Job)[0].worker == f"process {os.getpid()} on {socket.gethostname()[:64]}"


def test_an_open_association_holds_the_study(arrive, claim, sessions):
    arrive(1, association="a")
    with sessions.begin() as session:
        completeness.beat(session, ["a"], DUE)
    assert claim(DUE) is None
    with sessions.begin() as session:
        completeness.release(session, ["a"])
    assert claim(DUE)


class Steady:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def watch(steady: Steady) -> Watch:
    return Watch(PATIENCE, LEASE_S, steady)


def test_a_dead_receivers_association_holds_nothing(arrive, claim, watch, steady):
    arrive(1, association="a")
    later = DUE + timedelta(seconds=STALE_S + 1)
    assert claim(watch=watch) is None
    steady.now += STALE_S + 1
    assert claim(later, watch=watch)


def test_a_receiver_that_was_dead_for_long_leaves_no_row(arrive, claim, watch, steady, rows):
    arrive(1, association="a")
    claim(watch=watch)
    steady.now += 301
    claim(DUE + timedelta(seconds=301), watch=watch)
    assert rows(Hold) == []


@pytest.mark.parametrize("step", [timedelta(days=2), -timedelta(hours=1)])
def test_a_clock_that_is_set_does_not_end_the_hold_of_a_living_receiver(
    arrive, claim, watch, steady, sessions, step
):
    arrive(1, association="a")
    now = DUE
    assert claim(now, watch=watch) is None
    now += step
    for _ in range(10):
        assert claim(now, watch=watch) is None
        steady.now += 5
        now += timedelta(seconds=5)
        with sessions.begin() as session:
            completeness.beat(session, ["a"], now)
    with sessions.begin() as session:
        completeness.release(session, ["a"])
    steady.now += PATIENCE.quiet.total_seconds()
    assert claim(now + PATIENCE.quiet, watch=watch).incomplete is None


def test_a_clock_set_forward_ends_no_quiet_period(arrive, claim, watch, steady):
    arrive(1)
    assert claim(NOW, watch=watch) is None
    set_forward = NOW + timedelta(days=2)
    steady.now += 1
    assert claim(set_forward, watch=watch) is None
    steady.now += 60
    assert claim(set_forward + PATIENCE.quiet, watch=watch).incomplete is None


def test_a_clock_set_forward_ends_no_lease(arrive, claim, watch, steady):
    arrive(1)
    assert claim(watch=watch)
    steady.now += 1
    assert claim(DUE + timedelta(days=2), watch=watch) is None


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=900)])
def test_a_clock_set_back_makes_nothing_wait(arrive, claim, step, sessions):
    arrive(1)
    assert claim(DUE - step)  # the quiet period
    assert claim(DUE - 2 * step)  # the lease of a worker that died meanwhile
    with sessions.begin() as session:
        job = session.scalars(select(Job)).one()
        job.state, job.not_before = JobState.PENDING, DUE + timedelta(seconds=900)
    assert claim(DUE - 2 * step)  # the pause


def test_a_slice_that_comes_after_the_clock_was_set_back_moves_the_deadlines(arrive, rows):
    arrive(1)
    arrive(2, seconds=-3600)
    (job,) = rows(Job)
    then = NOW - timedelta(hours=1)
    assert (job.deadline, job.hard_deadline) == (then + PATIENCE.quiet, then + PATIENCE.cap)


def test_the_cap_ends_the_waiting_and_says_so(arrive, claim, rows):
    for seconds in range(0, 600, 50):
        arrive(seconds + 1, seconds=seconds)
    assert claim(NOW + timedelta(seconds=599)) is None
    taken = claim(NOW + PATIENCE.cap)
    assert taken.incomplete == "instances were still arriving after 600 s"
    assert "incomplete input" in rows(Event)[-1].message
    assert rows(Event)[-1].level == "warning"


def test_the_cap_counts_for_a_study_that_an_association_holds(arrive, claim, sessions):
    arrive(1, association="a")
    with sessions.begin() as session:
        completeness.beat(session, ["a"], NOW + PATIENCE.cap)
    assert claim(NOW + PATIENCE.cap).incomplete


def test_a_study_that_ended_quietly_is_complete_even_if_it_is_taken_late(arrive, claim):
    arrive(1)
    assert claim(NOW + timedelta(days=2)).incomplete is None


def test_an_abandoned_job_is_taken_over_when_its_lease_ends(arrive, claim):
    arrive(1)
    first = claim()
    assert claim(DUE + timedelta(seconds=LEASE_S)) is None
    second = claim(DUE + timedelta(seconds=LEASE_S + 1))
    assert (second.job_id, second.attempt) == (first.job_id, 2)
    assert second.token != first.token


def test_a_worker_that_died_is_told_after_its_first_attempt(arrive, claim, rows):
    arrive(1)
    claim()
    claim(DUE + timedelta(seconds=LEASE_S + 1))
    (told,) = [event.message for event in rows(Event) if event.kind == "postponed"]
    assert told == "attempt 1 ended with its worker, which died or was stopped; again"


def test_a_renewed_lease_lasts_longer(arrive, claim, sessions):
    arrive(1)
    jobs.renew_lease(sessions, claim(), lease_s=LEASE_S, now=DUE + timedelta(seconds=50))
    assert claim(DUE + timedelta(seconds=100)) is None


@pytest.mark.parametrize("end", ["draft", "unchanged", "fail", "retry", "renew"])
def test_a_worker_that_was_thought_dead_ends_nothing(arrive, claim, sessions, rows, end):
    arrive(1)
    late = claim()
    claim(DUE + timedelta(seconds=LEASE_S + 1))
    acts = {
        "draft": lambda: finish(sessions, late, draft()),
        "unchanged": lambda: job_ends.finish_unchanged(sessions, late, now=DUE),
        "fail": lambda: job_ends.fail_job(sessions, late, "why", now=DUE),
        "retry": lambda: job_ends.retry_job(sessions, late, "why", attempts=9, now=DUE),
        "renew": lambda: jobs.renew_lease(sessions, late, lease_s=LEASE_S, now=DUE),
    }
    with pytest.raises(LeaseLost):
        acts[end]()
    assert rows(Job)[0].state == "running"
    assert rows(Draft) == []


def test_a_draft_makes_its_deliveries_due(arrive, claim, sessions, rows):
    arrive(1)
    finish(sessions, claim(), draft())
    (delivery,) = rows(Delivery)
    assert (delivery.destination, delivery.state, delivery.not_before) == ("pacs", "pending", DUE)
    assert rows(Study)[0].state == "drafted"


def test_the_next_draft_names_its_predecessor_and_is_the_only_current_one(
    arrive, claim, sessions, rows
):
    arrive(1)
    finish(sessions, claim(), draft(1))
    arrive(2, seconds=100)
    taken = claim(NOW + timedelta(seconds=200))
    assert (taken.revision, taken.previous.sop_instance_uid) == (2, "1.2.7.1")
    finish(sessions, taken, draft(2))
    first, second = rows(Draft)
    assert (first.is_current, second.is_current) == (False, True)
    assert second.predecessor_id == first.id


@pytest.mark.parametrize(
    ("reached", "named"), [({"sends": 1}, "1.2.7.1"), ({"proved_at": NOW}, "1.2.7.1"), ({}, None)]
)
def test_a_draft_that_reached_nobody_is_no_predecessor(arrive, claim, sessions, reached, named):
    arrive(1)
    finish(sessions, claim(), draft(1))
    with sessions.begin() as session:
        session.execute(update(Delivery).values(**reached, sent_at=None))
    arrive(2, seconds=100)
    finish(sessions, claim(NOW + timedelta(seconds=200)), draft(2))
    arrive(3, seconds=300)
    taken = claim(NOW + timedelta(seconds=400))
    assert taken.previous.sop_instance_uid == "1.2.7.2"
    assert (taken.predecessor and taken.predecessor.sop_instance_uid) == named


def test_without_a_destination_the_spool_is_where_a_draft_goes(arrive, claim, sessions):
    arrive(1)
    job_ends.finish_with_draft(sessions, claim(), draft(1), destinations={}, now=DUE)
    arrive(2, seconds=100)
    assert claim(NOW + timedelta(seconds=200)).predecessor.sop_instance_uid == "1.2.7.1"


def test_an_unchanged_selection_keeps_the_current_draft(arrive, claim, sessions, rows):
    arrive(1)
    finish(sessions, claim(), draft(1))
    arrive(2, seconds=100)
    job_ends.finish_unchanged(sessions, claim(NOW + timedelta(seconds=200)), now=DUE)
    assert [d.is_current for d in rows(Draft)] == [True]
    assert rows(Event)[-1].kind == "unchanged"


def test_a_failure_is_told_with_its_reason(arrive, claim, sessions, rows):
    arrive(1)
    job_ends.fail_job(sessions, claim(), "no series is a CT volume", now=DUE)
    assert rows(Study)[0].state == "failed"
    assert rows(Event)[-1].message == "no draft: no series is a CT volume"
    assert rows(Event)[-1].level == "alert"


def test_a_failed_revision_leaves_the_study_drafted(arrive, claim, sessions, rows):
    arrive(1)
    finish(sessions, claim(), draft(1))
    arrive(2, seconds=100)
    job_ends.fail_job(sessions, claim(NOW + timedelta(seconds=200)), "why", now=DUE)
    assert rows(Study)[0].state == "drafted"
    assert rows(Event)[-1].message == "no new draft: why"


def test_pauses_double_and_then_the_job_is_given_up(arrive, claim, sessions, rows):
    arrive(1)
    now = DUE
    for pause in (15, 30):
        taken = claim(now)
        job_ends.retry_job(sessions, taken, "engine down", attempts=3, now=now)
        assert claim(now + timedelta(seconds=pause - 1)) is None
        now += timedelta(seconds=pause)
    job_ends.retry_job(sessions, claim(now), "engine down", attempts=3, now=now)
    assert rows(Job)[0].state == "failed"
    assert rows(Job)[0].error == "given up after 3 attempts: engine down"


def test_no_pause_is_longer_than_the_longest(arrive, claim, sessions, rows):
    arrive(1)
    taken = replace(claim(), attempt=40)
    job_ends.retry_job(sessions, taken, "engine down", attempts=99, now=DUE)
    assert rows(Job)[0].not_before == DUE + timedelta(seconds=job_ends.LONGEST_PAUSE_S)


def test_a_study_that_kills_its_workers_is_given_up(arrive, claim, rows):
    arrive(1)
    now = DUE
    for _ in range(3):
        assert claim(now)
        now += timedelta(seconds=LEASE_S + 1)
    assert claim(now) is None
    assert rows(Job)[0].error == "given up: 3 attempts began and none ended"


def test_slices_that_come_while_a_job_runs_wait_for_its_end(arrive, claim, sessions):
    arrive(1)
    running = claim()
    arrive(2, seconds=70)
    later = NOW + timedelta(seconds=140)
    jobs.renew_lease(sessions, running, lease_s=LEASE_S, now=later)
    assert claim(later) is None
    finish(sessions, running, draft(1))
    assert claim(later).revision == 2


def test_an_abandoned_job_gives_way_to_a_newer_one(arrive, claim, rows):
    arrive(1)
    claim()
    arrive(2, seconds=70)
    taken = claim(NOW + timedelta(seconds=200))
    assert taken.revision == 2
    assert [job.state for job in rows(Job)] == ["cancelled", "running"]


def test_a_retry_gives_way_to_a_newer_job(arrive, claim, sessions, rows):
    arrive(1)
    running = claim()
    arrive(2, seconds=70)
    job_ends.retry_job(sessions, running, "engine down", attempts=9, now=DUE)
    assert [job.state for job in rows(Job)] == ["cancelled", "pending"]


def test_the_longest_due_study_comes_first(sessions, claim):
    with sessions.begin() as session:
        for study, seconds in (("1.5", 5), ("1.4", 0)):
            intake.record(
                session,
                [arrival(int(study[-1]), study=study)],
                patience=PATIENCE,
                now=NOW + timedelta(seconds=seconds),
            )
    later = DUE + timedelta(seconds=10)
    assert [claim(later).study_instance_uid for _ in range(2)] == ["1.4", "1.5"]


def test_moments_are_utc(arrive, rows):
    arrive(1)
    assert rows(Job)[0].deadline.tzinfo == UTC
