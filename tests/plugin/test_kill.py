"""Real processes, killed with SIGKILL at random moments: nothing is lost or doubled."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import select

from plugin.commands.demonstration.archive import running_archive
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.tables import (
    Absent,
    Delivery,
    DeliveryState,
    Draft,
    Instance,
    Job,
    JobState,
    Study,
)
from tests.forked import Forked
from tests.plugin.intake_objects import association, make_slice, new_uid, raw_store_begin
from tests.plugin.programs import selected
from tests.ports import free_port
from tests.waiting import eventually

SLICES = 6
STUDIES = 5
# A hold goes stale after 10 s, a delivery that died is made again after 5 s; a busy machine
PATIENCE_S = 150.0


class Processes:
    """One receiver and one worker, always started again."""

    def __init__(self, commands: dict[str, list[str]], log: Path) -> None:
        self._commands = commands
        self._log = log
        self._running = {name: self._start(name) for name in commands}
        self.kills = 0

    def _start(self, name: str) -> Forked:
        return Forked(["tests.plugin.programs", *self._commands[name]], log=self._log)

    def kill(self, *names: str) -> None:
        for name in names:
            self._running[name].kill()
        for name in names:
            self._running[name] = self._start(name)
            self.kills += 1

    def stop(self) -> None:
        for process in self._running.values():
            process.kill()


class Sender:
    """A modality that repeats every instance until it is acknowledged."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self.acknowledged: dict[str, set[str]] = defaultdict(set)
        self.finished = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.finished.is_set():
            study, series = new_uid(), new_uid()
            self._send_study([make_slice(study, series=series, number=n) for n in range(SLICES)])

    def _send_study(self, waiting: list[Dataset]) -> None:
        self._random.shuffle(waiting)
        while waiting:
            try:
                with association(self._port) as assoc:
                    while waiting and assoc.is_established:
                        status = assoc.send_c_store(waiting[-1])
                        if status.get("Status") == 0:
                            sent = waiting.pop()
                            self.acknowledged[sent.StudyInstanceUID].add(sent.SOPInstanceUID)
                        time.sleep(self._random.uniform(0, 0.4))
            except (OSError, RuntimeError, ValueError):
                pass  # the receiver died under the association
            time.sleep(0.1)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    with running_archive(tmp_path / "archive") as port:
        yield tmp_path / "archive", port


def test_killed_processes_lose_and_double_nothing(
    database_url: str, tmp_path: Path, archive: tuple[Path, int]
) -> None:
    folder, pacs = archive
    port, spool = free_port(), tmp_path / "spool"
    kills = 25 if database_url.startswith("sqlite") else 20
    chance = random.Random(20261124)
    processes = Processes(
        {
            "receiver": ["receive", database_url, str(spool), str(port)],
            "worker": ["work", database_url, str(spool), str(pacs)],
        },
        tmp_path / "log",
    )
    senders = [Sender(port, seed) for seed in range(3)]
    try:
        while processes.kills < kills or _studies(senders) < STUDIES:
            # On a busy machine nothing starts within 2 s: go on, and kill less often
            time.sleep(chance.uniform(0.3, 2.0 * 2 ** (processes.kills // kills)))
            processes.kill(
                *chance.choice([("receiver",), ("receiver",), ("worker",), ("receiver", "worker")])
            )
        for sender in senders:
            sender.finished.set()
        for sender in senders:
            sender.thread.join(PATIENCE_S)
            assert not sender.thread.is_alive()
        engine = open_database(database_url)
        sessions = session_factory(engine)
        acknowledged = {
            study: uids for sender in senders for study, uids in sender.acknowledged.items()
        }
        eventually(lambda: _is_quiet(sessions, len(acknowledged)), PATIENCE_S)
    finally:
        processes.stop()
    assert len(acknowledged) >= STUDIES
    _check_studies(sessions, acknowledged, Spool(spool), folder)
    engine.dispose()


def _studies(senders: list[Sender]) -> int:
    return sum(len(sender.acknowledged) for sender in senders)


def _is_quiet(sessions: SessionFactory, studies: int) -> bool:
    """Whether every study has its draft, and nothing is left to do."""
    open_jobs = Job.state.in_([JobState.PENDING, JobState.RUNNING])
    open_deliveries = Delivery.state.in_([DeliveryState.PENDING, DeliveryState.SENT])
    with sessions.begin() as session:
        is_open = (
            session.scalars(select(Job.id).where(open_jobs)).first()
            or session.scalars(select(Delivery.id).where(open_deliveries)).first()
        )
        drafted = session.scalars(select(Draft.id).where(Draft.is_current)).all()
    return not is_open and len(drafted) == studies


def _check_studies(
    sessions: SessionFactory, acknowledged: dict[str, set[str]], spool: Spool, archive: Path
) -> None:
    delivered = [dcmread(path) for path in archive.glob("*.dcm")]
    with sessions.begin() as session:
        for study in session.scalars(select(Study)).all():
            uids = acknowledged[study.study_instance_uid]
            kept = session.scalars(select(Instance).where(Instance.study_id == study.id)).all()
            assert {one.sop_instance_uid for one in kept} == uids
            assert all(
                dcmread(spool.absolute(one.path)).SOPInstanceUID == one.sop_instance_uid
                for one in kept
            )
            (current,) = [draft for draft in study.drafts if draft.is_current]
            assert current.selected_digest == selected([Path(f"{uid}-x.dcm") for uid in uids])
            assert all(one.state == DeliveryState.PROVED for one in current.deliveries)
            assert current.revision == max(draft.revision for draft in study.drafts)
            found = [sr for sr in delivered if sr.SOPInstanceUID == current.sop_instance_uid]
            assert len(found) == 1


def test_what_a_killed_receiver_was_receiving_is_known_to_the_next(
    database_url: str, tmp_path: Path
) -> None:
    port, spool = free_port(), tmp_path / "spool"
    study, lost = new_uid(), None
    command = ["receive", database_url, str(spool), str(port)]
    processes = Processes({"receiver": command}, tmp_path / "log")
    engine = open_database(database_url)
    sessions = session_factory(engine)
    try:
        assert eventually(lambda: _stores(port, make_slice(study)), PATIENCE_S)
        with suppress(OSError, RuntimeError), association(port) as assoc:
            lost = make_slice(study)
            raw_store_begin(assoc, lost)
            assert eventually(lambda: _largest(spool / "incoming") > 500)
            processes.kill("receiver")
        assert eventually(lambda: _absent(sessions), PATIENCE_S) == [lost.SOPInstanceUID]
    finally:
        processes.stop()
        engine.dispose()


def _stores(port: int, dataset: Dataset) -> bool:
    try:
        with association(port) as assoc:
            return bool(assoc.send_c_store(dataset).get("Status") == 0)
    except (OSError, RuntimeError, ValueError, AssertionError):
        return False


def _largest(folder: Path) -> int:
    return max((path.stat().st_size for path in folder.iterdir() if path.is_file()), default=0)


def _absent(sessions: SessionFactory) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(Absent.sop_instance_uid)))
