"""The engine's host goes down while studies arrive: they wait, and none is lost or given up."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import select

from dicom_io.archives.dimse import Dimse
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine.fake import FakeEngine
from plugin.assembly import open_sessions, open_spool
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception.receiver import running_receiver
from plugin.settings import load_settings
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.tables import Draft, Event, Job
from plugin.supervisor import CTSCRIBE
from reporting.objects.render import report_text
from tests.ports import free_port
from tests.repository import ROOT
from tests.waiting import eventually

STUDIES = 4
SLICES = 24
SHORT_OUTAGE_S = 0.5  # shorter than the client is patient
UNTIL_IT_IS_KILLED_S = 3600.0  # no study is finished before


class EngineProcess:
    """The engine's host, that can lose its power."""

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "tests.engine.slow_engine", str(port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds_a_report: float) -> None:
        self._process = subprocess.Popen([*self._command, str(seconds_a_report)], cwd=ROOT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_at_work(self) -> bool:
        try:
            return bool(re.search(r"in_flight [1-9]", httpx.get(f"{self.url}/metrics").text))
        except httpx.HTTPError:
            return False


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess(free_port())
    yield process
    process.kill()


@pytest.fixture
def configuration(tmp_path: Path, engine: EngineProcess) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(
        f"""
        storage = {{ spool = "spool", floor_mb = 1 }}
        engine = {{ url = "{engine.url}" }}
        worker = {{ poll_s = 0.1, attempts = 1 }}
        """
    )
    return path


@pytest.fixture
def sessions(configuration: Path) -> Iterator[SessionFactory]:
    sessions = open_sessions(load_settings(configuration))
    yield sessions
    sessions.kw["bind"].dispose()


@pytest.fixture
def studies(tmp_path: Path) -> list[list[Path]]:
    """Slices of some phantom patients."""
    folders = (
        write_study(make_phantom(seed, matrix=32), tmp_path / str(seed)) for seed in range(STUDIES)
    )
    return [sorted(folder.iterdir())[:SLICES] for folder in folders]


@contextmanager
def working(configuration: Path) -> Iterator[None]:
    """Run `ctscribe work`."""
    worker = subprocess.Popen([*CTSCRIBE, "work", "-c", str(configuration)])
    try:
        yield
    finally:
        worker.terminate()
        assert worker.wait(20) == 0


def rows(sessions: SessionFactory, table: Any) -> list[Any]:
    with sessions() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def kinds(sessions: SessionFactory) -> set[str]:
    return {event.kind for event in rows(sessions, Event)}


def send(studies: list[list[Path]], port: int) -> None:
    for study in studies:
        Dimse("127.0.0.1", port, "CTSCRIBE", "CT1").store(*study)
        time.sleep(0.5)


def written(sr: Dataset) -> tuple[str, str]:
    """The study, and what the fake engine saw of it."""
    (digest,) = re.findall(r"Input (\w+) was received", report_text(sr))
    return str(sr.StudyInstanceUID), digest


def test_an_engine_killed_at_work_and_restarted_while_studies_arrive_loses_none(
    configuration, engine, studies, sessions
):
    spool = open_spool(load_settings(configuration))
    patience = Patience(timedelta(seconds=0.2), timedelta(seconds=60))
    with running_receiver(sessions, spool, patience=patience) as port, working(configuration):
        arriving = threading.Thread(target=send, args=(studies, port))
        arriving.start()
        for longer_than_the_client_is_patient in (True, False):
            engine.start(UNTIL_IT_IS_KILLED_S)
            assert eventually(engine.is_at_work, 60)
            engine.kill()
            if longer_than_the_client_is_patient:
                assert eventually(lambda: "waiting" in kinds(sessions), 60)
            else:
                time.sleep(SHORT_OUTAGE_S)
        engine.start(0)
        arriving.join()
        assert eventually(lambda: len(rows(sessions, Draft)) == STUDIES, 60)
    drafts = [dcmread(spool.absolute(draft.path)) for draft in rows(sessions, Draft)]
    expected = [Pipeline(FakeEngine()).make_report(study).sr for study in studies]
    assert sorted(map(written, drafts)) == sorted(map(written, expected))
    assert {job.state for job in rows(sessions, Job)} == {"done"}
    assert {"engine_up", "engine_down"} <= kinds(sessions)
    assert "failed" not in kinds(sessions)
