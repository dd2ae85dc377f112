"""A worker with several studies in hand: at the engine together, at the desk one by one."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from plugin.drafting.desk import Desk
from plugin.drafting.worker import Worker
from plugin.reception import intake
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Draft, Event, Job
from plugin.state.watch import Watch
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.intake_objects import make_slice, new_uid
from tests.plugin.model import Drafted
from tests.waiting import eventually

STUDIES = 6


class Writer:
    """Writes until a test lets it end; studies are told apart by the file that each has."""

    def __init__(self, turn: Any = None) -> None:
        self.told: list[float] = []
        self.desk = Desk(self.told.append)
        self.turn = turn or nullcontext()
        self.go_on = threading.Event()
        self.read: list[str] = []
        self.writes: set[str] = set()

    def report(self, paths: Any, **_: Any) -> Drafted:
        name = Path(paths[0]).stem
        self.read.append(name)
        with self.desk.left_for(self.turn):
            self.writes.add(name)
            assert self.go_on.wait(20)
            self.writes.remove(name)
        return Drafted(make_slice(new_uid()))


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def studies(sessions: SessionFactory) -> list[str]:
    """Complete studies, in the order in which they are due."""
    then = datetime.now(UTC) - timedelta(hours=1)
    for number in range(STUDIES):
        one, at = arrival(number, study=f"1.2.{number}"), then + timedelta(seconds=number)
        with sessions.begin() as session:
            intake.record(session, [one], patience=PATIENCE, now=at)
    return [str(number) for number in range(STUDIES)]


class Running:
    """A worker in a thread, which is stopped at the end."""

    def __init__(self, worker: Worker, writer: Writer) -> None:
        self.stop = threading.Event()
        self._writer = writer
        self._thread = threading.Thread(target=worker.run, args=(self.stop, 0.02))

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self.stop.set()
        if failed:
            self._writer.go_on.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def a_worker(sessions: SessionFactory, spool: Spool, writer: Writer, **options: Any) -> Worker:
    return Worker(sessions, spool, writer.report, {}, desk=writer.desk, **options)


def test_several_studies_are_at_the_engine_in_the_order_in_which_they_are_due(
    sessions, spool, writer, studies, rows
):
    with Running(a_worker(sessions, spool, writer, studies=3), writer):
        assert eventually(lambda: len(writer.writes) == 3)
        assert writer.writes == set(studies[:3])
        writer.go_on.set()
        assert eventually(lambda: len(rows(Draft)) == STUDIES)
    assert writer.read == studies
    assert [event.kind for event in rows(Event)].count("begun") == STUDIES


def test_what_is_in_hand_is_finished_when_the_worker_is_stopped(
    sessions, spool, writer, studies, rows
):
    with Running(a_worker(sessions, spool, writer, studies=3), writer) as running:
        assert eventually(lambda: len(writer.writes) == 3)
        running.stop.set()
        writer.go_on.set()
    assert len(rows(Draft)) == 3


def test_the_next_study_is_read_while_a_model_that_takes_one_at_a_time_writes(
    sessions, spool, studies
):
    writer = Writer(turn=threading.Lock())
    with Running(a_worker(sessions, spool, writer, studies=2), writer):
        assert eventually(lambda: len(writer.read) == 2)
        assert len(writer.writes) == 1
        writer.go_on.set()


def test_every_lease_is_kept(sessions, spool, writer, studies, rows):
    watch = Watch(lease_s=4.0)  # a busy machine renews it late
    with Running(a_worker(sessions, spool, writer, studies=STUDIES, watch=watch), writer):
        assert eventually(lambda: len(writer.writes) == STUDIES)
        first = [job.lease_until for job in rows(Job)]
        assert eventually(lambda: datetime.now(UTC) > max(first))
        another = a_worker(sessions, spool, Writer(), watch=Watch(lease_s=4.0))
        assert not another.work_once()
        writer.go_on.set()
    assert len(rows(Draft)) == STUDIES


def test_a_study_that_ended_badly_before_is_drafted_alone(sessions, spool, writer, studies, rows):
    """It may be what ends the process: it takes no other study with it a second time."""
    with sessions.begin() as session:
        session.execute(update(Job).where(Job.id == rows(Job)[1].id).values(attempts=1))
    with Running(a_worker(sessions, spool, writer, studies=3), writer):
        assert eventually(lambda: writer.writes == {"0"})
        assert writer.read == ["0"]
        writer.go_on.set()
        assert eventually(lambda: len(rows(Draft)) == STUDIES)
    assert writer.read[1] == "1"


def test_a_study_that_hangs_ends_the_process_whatever_the_others_do(
    sessions, spool, writer, studies, rows
):
    ended = threading.Event()

    def end_process() -> None:
        ended.set()
        writer.go_on.set()

    hanging = a_worker(
        sessions, spool, writer, studies=2, longest_draft_s=0.3, end_process=end_process
    )
    with Running(hanging, writer) as running:
        assert ended.wait(20)
        running.stop.set()
    assert any(job.error == "no draft within 0 s" for job in rows(Job))


def test_the_process_hangs_with_the_first_of_its_threads() -> None:
    told: list[float] = []
    desk = Desk(told.append)
    long = threading.Thread(target=desk.promise, args=(1000.0,))
    with desk.taken(10.0):
        long.start()
        long.join()
    assert told == pytest.approx([10.0, 10.0], abs=1.0)


def test_who_waits_for_the_desk_promises_nothing() -> None:
    told: list[float] = []
    desk, inside = Desk(told.append), threading.Event()

    def wait_for_the_desk() -> None:
        with desk.taken(0.0):
            inside.set()

    waiting = threading.Thread(target=wait_for_the_desk)
    with desk.taken(10.0):
        waiting.start()
        assert not inside.wait(0.1)
        desk.promise(10.0)
    waiting.join()
    assert inside.is_set()
    assert min(told[:2]) > 9.0


def test_a_fault_of_one_thread_ends_all(sessions, spool, writer, studies):
    def broken() -> bool:
        raise RuntimeError("a fault of ours")

    writer.go_on.set()
    worker = a_worker(sessions, spool, writer, studies=3, ready=broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        worker.run(threading.Event(), 0.01)
