"""One job at a time, and every way it can end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from dicom_io.errors import (
    EngineUnavailable,
    NoUsableSeries,
    OutOfDeviceMemory,
    StoreFull,
)
from plugin.drafting import job_ends, jobs
from plugin.drafting.desk import Desk
from plugin.drafting.worker import Worker
from plugin.drafting.writing.confidence import Confidence
from plugin.drafting.writing.heat import Heat
from plugin.reception import intake
from plugin.reception.sweep import sweep
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.incoming import IncomingFile
from plugin.state.files.spool import Spool
from plugin.state.kept.beside import paths_beside
from plugin.state.kept.heat_maps import HeatMap
from plugin.state.tables import Delivery, Draft, Event, Job, JobState
from plugin.state.watch import Watch
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.clocks import set_host_clock
from tests.plugin.intake_objects import make_slice, new_uid
from tests.plugin.model import Drafted, Model
from tests.waiting import eventually


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def worker(sessions: SessionFactory, spool: Spool, model: Model) -> Worker:
    return Worker(sessions, spool, model.report, {"pacs": "dimse"}, attempts=3)


@pytest.fixture
def arrive(sessions: SessionFactory):
    def arrive(number: int, *, redraft: bool = False) -> None:
        """A slice of long ago, so that its study is due."""
        then = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=number)
        one = arrival(number)
        if redraft:
            one = intake.Arrival(**{**one.__dict__, "redraft": True})
        with sessions.begin() as session:
            intake.record(session, [one], patience=PATIENCE, now=then)

    return arrive


def test_without_a_complete_study_there_is_nothing_to_do(worker):
    assert not worker.work_once()


@pytest.mark.parametrize(("redraft", "drafts"), [(False, 0), (True, 1)])
def test_an_old_study_is_drafted_only_if_somebody_asks(
    worker, arrive, rows, spool, redraft, drafts
):
    old = make_slice(new_uid())
    old.StudyDate = "20090302"
    (spool.root / "instances").mkdir(exist_ok=True)
    old.save_as(spool.root / "instances/1.dcm", enforce_file_format=True)
    arrive(1, redraft=redraft)
    assert replace(worker, max_study_age_days=365).work_once()
    assert len(rows(Draft)) == drafts
    told = rows(Event)[-1]
    assert (told.level, "the study is of 2009-03-02" in told.message) == ("info", not drafts)


def test_a_host_whose_clock_is_ahead_drafts_no_half_received_study(
    worker, sessions, rows, monkeypatch
):
    """The receiver's host has the right time, the worker's is 45 s ahead."""
    shared = sessions.kw["bind"].dialect.name == "postgresql"
    patience = Patience.of_seconds(20, 3600)
    with sessions.begin() as session:
        intake.record(session, [arrival(1)], patience=patience, now=datetime.now(UTC))
    set_host_clock(monkeypatch, timedelta(seconds=45))
    ahead = replace(worker, watch=Watch(patience))
    # Of SQLite the host is the only one: its clock counts for all of them
    assert ahead.work_once() != shared
    assert len(rows(Draft)) == (0 if shared else 1)


def test_a_complete_study_becomes_a_draft_in_the_spool(worker, arrive, rows, spool, model):
    arrive(1)
    assert worker.work_once()
    (draft,) = rows(Draft)
    assert dcmread(spool.absolute(draft.path)).SOPInstanceUID == draft.sop_instance_uid
    assert model.calls == [
        {
            "paths": [spool.root / "instances/1.dcm"],
            "revision": 1,
            "predecessor": None,
            "incomplete": None,
        }
    ]


def test_what_stands_beside_a_draft_lies_in_the_spool_and_waits_for_no_row(
    worker, arrive, rows, spool, monkeypatch
):
    drafted = with_two_beside()
    worker = replace(worker, make_report=lambda paths, **_: drafted)
    arrive(1)
    assert worker.work_once()
    assert drafts_in(spool) == {rows(Draft)[0].path, *paths_beside(drafted.sr.SOPInstanceUID)}
    assert spool.unrecorded() == []


def with_two_beside() -> Drafted:
    sr = make_slice(new_uid())
    beside = [make_slice(new_uid()) for _ in (1, 2)]
    for one, name in zip(beside, paths_beside(sr.SOPInstanceUID), strict=True):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = Path(name).stem
    return Drafted(sr, beside=tuple(beside))


def drafts_in(spool: Spool) -> set[str]:
    return {f"drafts/{path.name}" for path in spool.drafts.iterdir()}


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        ((Spool, "_write_beside"), 0),
        ((IncomingFile, "move_to"), 0),
        ((job_ends, "finish_with_draft"), 0),
        ((Spool, "recorded"), 3),  # after the commit
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_worker_that_is_killed_leaves_a_draft_with_what_stands_beside_it_or_nothing(
    worker, arrive, rows, sessions, spool, step, kept
):
    drafted = with_two_beside()
    worker = replace(worker, make_report=lambda paths, **_: drafted)
    arrive(1)

    def work_and_die() -> None:
        setattr(*step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        worker.work_once()

    sessions.kw["bind"].dispose()  # a connection is not shared with a child
    child = multiprocessing.get_context("fork").Process(target=work_and_die)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert spool.unrecorded() == [f"drafts/{drafted.sr.SOPInstanceUID}.dcm"]
    for link in spool.incoming.iterdir():  # long ago
        os.utime(link, (0, 0), follow_symlinks=False)
    sweep(sessions, spool, patience=PATIENCE)
    assert len(rows(Draft)) == bool(kept)
    assert len(drafts_in(spool)) == kept
    assert spool.unrecorded() == []


def test_the_maps_of_sentences_are_kept_with_the_draft(worker, arrive, rows):
    grid = {"dimensions": [1, 1, 1]}
    drafted = Drafted(make_slice(new_uid()), heat=(Heat("There is ascites.", grid, b"\xff"),))
    worker = replace(worker, make_report=lambda paths, **_: drafted)
    arrive(1)
    assert worker.work_once()
    (kept,) = rows(HeatMap)
    assert kept.draft_id == rows(Draft)[0].id
    assert (kept.sentence, kept.grid, kept.values) == ("There is ascites.", grid, b"\xff")


def test_what_was_withheld_and_how_far_it_drifted_is_kept_with_the_draft(worker, arrive, rows):
    told = Confidence("phantoms, 300 studies", 0.25, (("FINDINGS", "There is ascites."),))
    drafted = Drafted(make_slice(new_uid()), confidence=told)
    worker = replace(worker, make_report=lambda paths, **_: drafted)
    arrive(1)
    assert worker.work_once()
    (draft,) = rows(Draft)
    assert (draft.calibrated_on, draft.drift) == (told.calibrated_on, told.drift)
    assert draft.withheld == [["FINDINGS", "There is ascites."]]


def test_the_timeline_tells_which_series_was_read(worker, arrive, rows):
    arrive(1)
    worker.work_once()
    assert "read series 2" in [event.message for event in rows(Event)]


def test_the_timeline_tells_why_a_draft_is_partial(worker, arrive, rows, sessions, spool):
    arrive(1)
    lacks = ("Incomplete input: 3 slices.", "The generated text was cut off.")
    drafted = Drafted(make_slice(new_uid()), state="partial", lacks=lacks)
    Worker(sessions, spool, lambda *_, **__: drafted, {}).work_once()
    told = "draft 1 written: partial: Incomplete input: 3 slices. The generated text was cut off."
    assert rows(Event)[-1].message == told


def test_late_slices_that_change_the_selection_make_a_successor(
    worker, arrive, rows, model, sessions
):
    arrive(1)
    worker.work_once()
    with sessions.begin() as session:
        session.execute(update(Delivery).values(sends=1))
    model.digest = "e" * 64
    arrive(2)
    worker.work_once()
    first, second = rows(Draft)
    assert model.calls[1]["predecessor"].sop_instance_uid == first.sop_instance_uid
    assert second.is_current


def test_late_slices_that_change_nothing_cost_no_run_of_the_model(worker, arrive, rows, model):
    arrive(1)
    worker.work_once()
    arrive(2)
    worker.work_once()
    assert len(model.calls) == 1
    assert rows(Event)[-1].kind == "unchanged"


def test_a_draft_that_is_asked_for_again_is_made_again(worker, arrive, rows, model):
    arrive(1)
    worker.work_once()
    arrive(1, redraft=True)
    worker.work_once()
    assert len(model.calls) == 2
    assert len(rows(Draft)) == 2


def test_an_unusable_study_fails_with_its_reason(worker, arrive, rows, model):
    arrive(1)
    model.error = NoUsableSeries("no series is a CT volume")
    worker.work_once()
    assert rows(Job)[0].state == "failed"
    assert rows(Event)[-1].message == "no draft: no series is a CT volume"


def test_a_failure_that_may_pass_postpones(worker, arrive, rows, model):
    arrive(1)
    model.error = OutOfDeviceMemory("cuda:0 is full")
    worker.work_once()
    (job,) = rows(Job)
    assert (job.state, job.attempts) == ("pending", 1)
    assert job.not_before > datetime.now(UTC)


def due_at_once(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        session.execute(update(Job).values(not_before=datetime.now(UTC)))


def test_an_engine_that_is_down_costs_a_study_no_attempt(worker, arrive, sessions, model, rows):
    arrive(1)
    model.error = EngineUnavailable("the engine does not answer")
    for _ in range(2 * worker.attempts):
        worker.work_once()
        due_at_once(sessions)
    (job,) = rows(Job)
    assert (job.state, job.attempts) == ("pending", 0)
    model.error = None
    worker.work_once()
    assert len(rows(Draft)) == 1


def test_a_study_that_brings_the_engine_down_again_and_again_lets_others_pass(
    worker, arrive, sessions, model, rows
):
    arrive(1)
    model.error = EngineUnavailable("the engine does not answer")
    pauses = []
    for _ in range(3):
        worker.work_once()
        pauses.append(rows(Job)[0].not_before - datetime.now(UTC))
        due_at_once(sessions)
    assert pauses[0] < pauses[1] < pauses[2]
    assert rows(Event)[-1].message == "tried again in 8 s: the engine does not answer"


def test_slices_that_came_while_the_engine_was_down_are_read_in_one_run(
    worker, arrive, sessions, model, rows
):
    arrive(1)

    def report(paths: Any, **what: Any) -> Drafted:
        arrive(2)
        raise EngineUnavailable("the engine does not answer")

    Worker(sessions, worker.spool, report, {}).work_once()
    assert [job.state for job in rows(Job)] == ["cancelled", "pending"]


def test_no_job_is_begun_before_the_engine_is_ready(sessions, spool, model, arrive, rows):
    arrive(1)
    answers = iter([False, False, True])
    stop = threading.Event()

    def ready() -> bool:
        if (answer := next(answers, None)) is None:
            stop.set()
        return bool(answer)

    Worker(sessions, spool, model.report, {}, ready=ready).run(stop, poll_s=0.01)
    assert len(rows(Draft)) == 1
    assert [event.kind for event in rows(Event)].count("begun") == 1


def test_a_fault_of_ours_is_named_by_class_and_place_not_by_its_text(
    worker, arrive, rows, model, caplog
):
    arrive(1)
    model.error = ValueError("Müller^Zoë")
    worker.work_once()
    told = rows(Event)[-1].message
    assert "internal error: ValueError at model.py:" in told
    assert "Müller" not in told + caplog.text


def test_a_model_that_is_slower_than_the_lease_keeps_its_job(sessions, spool, model, arrive, rows):
    arrive(1)
    slow = Worker(sessions, spool, model.report, {}, watch=Watch(lease_s=0.6))
    another = replace(slow, desk=Desk())

    def lease() -> datetime:
        (job,) = rows(Job)
        return job.lease_until

    def outlast_the_lease() -> None:
        first = lease()
        assert eventually(lambda: datetime.now(UTC) > first < lease())
        assert not another.work_once()

    model.meanwhile = outlast_the_lease
    assert slow.work_once()
    assert len(model.calls) == 1
    assert len(rows(Draft)) == 1


def test_a_study_that_takes_too_long_is_given_back_and_the_process_ends(
    sessions, spool, model, arrive, rows
):
    """What hangs cannot be woken; here it goes on once the process would have ended."""
    arrive(1)
    ended = threading.Event()
    hanging = Worker(sessions, spool, model.report, {}, longest_draft_s=0.2, end_process=ended.set)
    model.meanwhile = lambda: ended.wait(20)
    assert hanging.work_once()
    assert ended.is_set()
    (job,) = rows(Job)
    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    assert job.error == "no draft within 0 s"
    assert rows(Draft) == []
    assert spool.unrecorded() == []


def test_a_worker_tells_when_it_will_speak_again(worker, arrive, model):
    arrive(1)
    stop, told = threading.Event(), []

    def expect(seconds: float) -> None:
        told.append(seconds)

    model.meanwhile = stop.set
    replace(worker, desk=Desk(expect), longest_draft_s=7000.0).run(stop, poll_s=0.01)
    assert [seconds > 7000 for seconds in told[:2]] == [False, True]


def test_a_worker_whose_job_was_taken_over_discards_its_draft(
    worker, arrive, sessions, model, caplog, rows
):
    arrive(1)

    def report(paths: Any, **what: Any) -> Drafted:
        with sessions.begin() as session:
            session.execute(update(Job).values(lease_owner="another"))
        return Drafted(make_slice(new_uid()))

    Worker(sessions, worker.spool, report, {}).work_once()
    assert rows(Draft) == []
    assert "taken over by another worker" in caplog.text


def test_two_workers_share_the_studies(worker, sessions, spool, model, rows):
    then = datetime.now(UTC) - timedelta(hours=1)
    for number in range(6):
        with sessions.begin() as session:
            one = arrival(number, study=f"1.2.{number}")
            intake.record(session, [one], patience=PATIENCE, now=then)

    def work(worker: Worker) -> None:
        while worker.work_once():
            pass

    threads = [
        threading.Thread(target=work, args=(replace(worker, desk=Desk()),)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(model.calls) == 6
    assert len(rows(Draft)) == 6


def test_it_goes_on_when_the_database_did_not_answer(worker, arrive, rows, monkeypatch):
    arrive(1)
    stop = threading.Event()
    claim_job, answers = jobs.claim_job, iter([False, True])

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        if not next(answers, True):
            raise OperationalError("", {}, Exception("connection lost"))
        claimed = claim_job(*args, **kwargs)
        if claimed is None:
            stop.set()
        return claimed

    monkeypatch.setattr("plugin.drafting.worker.jobs.claim_job", sometimes)
    worker.run(stop, poll_s=0.01)
    assert len(rows(Draft)) == 1


def test_a_stopped_worker_finishes_the_job_in_hand(worker, arrive, rows, model):
    arrive(1)
    stop = threading.Event()
    model.meanwhile = stop.set
    worker.run(stop, poll_s=0.01)
    assert len(rows(Draft)) == 1


def test_a_draft_lies_in_the_drafts_folder(worker, arrive, rows):
    arrive(1)
    worker.work_once()
    assert Path(rows(Draft)[0].path).parent == Path("drafts")


def test_a_full_disk_costs_no_study_its_draft(worker, arrive, sessions, spool, monkeypatch, rows):
    arrive(1)
    with monkeypatch.context() as full:
        full.setattr(Spool, "write_draft", raises(StoreFull("the spool's disk is full")))
        for _ in range(worker.attempts + 2):
            assert worker.work_once()
            make_due(sessions)
    assert worker.work_once()
    assert len(rows(Draft)) == 1


def raises(error: Exception) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def make_due(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        session.execute(update(Job).values(not_before=datetime.now(UTC) - timedelta(minutes=1)))
