"""`ctscribe serve` as it is started, and parts of it that are stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from plugin.state.database import open_database, session_factory
from plugin.state.running.pulse import SILENT_S, Process, processes
from plugin.state.tables import Event
from tests.plugin.intake_objects import make_slice, new_uid, store
from tests.ports import free_port
from tests.repository import ROOT
from tests.waiting import eventually

# Silence, a start on a busy machine, and what a stopped process had in hand
PATIENCE_S = SILENT_S + 120


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(
        f'[receiver]\nport = {port}\n[engine]\nmodel = "fake"\n[storage]\nspool = "spool"\n'
        "floor_mb = 1\n"
    )
    return path


def command(config: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "plugin", "serve", "-c", str(config)]


@contextmanager
def serving(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command(config), env=environment) as service:
        try:
            yield service
        finally:
            service.terminate()


def part(spool: Path, name: str) -> Process | None:
    """The living process that does a part."""
    living = [one for one in processes(spool) if (one.part, one.state) == (name, "alive")]
    return living[0] if len(living) == 1 else None


def another(spool: Path, before: Process) -> bool:
    now = part(spool, before.part)
    return now is not None and now.pid != before.pid


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def alerts(spool: Path) -> list[str]:
    engine = open_database(f"sqlite:///{spool / 'ctscribe.db'}")
    with session_factory(engine)() as session:
        found = list(session.scalars(select(Event.message).where(Event.kind == "replaced")))
    engine.dispose()
    return found


def test_parts_that_are_stopped_are_replaced_and_a_second_service_says_why_it_stops(
    config, tmp_path, port
):
    spool = tmp_path / "spool"
    with serving(config):
        for name in ("receive", "work"):
            assert eventually(lambda name=name: part(spool, name), 60)

        second = subprocess.run(
            command(config), capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
        )
        assert second.returncode == 1
        assert f"{spool} is served already, by process" in second.stderr
        assert len(second.stderr.splitlines()) == 1

        stopped = [one for name in ("receive", "work") if (one := part(spool, name))]
        for one in stopped:
            os.kill(one.pid, signal.SIGSTOP)
        assert all(eventually(lambda one=one: another(spool, one), PATIENCE_S) for one in stopped)
        assert eventually(lambda: listens(port), PATIENCE_S)
        assert store(port, make_slice(new_uid())) == [0x0000]
        assert eventually(lambda: len(alerts(spool)) == 2)
        assert all("is replaced" in message for message in alerts(spool))
    assert eventually(lambda: processes(spool) == [])
