"""Living, hanging and dead processes are told apart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dicom_io.errors import PluginError
from plugin.state.running import pulse as module
from plugin.state.running.pulse import Process, Pulse, alone, last_beat, processes
from tests.repository import ROOT
from tests.waiting import eventually

HOST = socket.gethostname()
BEATS = (
    "import pathlib, sys, time; from plugin.state.running.pulse import Pulse;"
    "pulse = Pulse(pathlib.Path(sys.argv[1]), 'work'); time.sleep(60)"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "BEAT_S", 0.05)


@contextmanager
def beating(spool: Path) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", BEATS, str(spool)], cwd=ROOT) as process:
        assert eventually(lambda: last_beat(spool, "work", process.pid), 30)
        try:
            yield process.pid
        finally:
            process.kill()


def states(spool: Path) -> list[str]:
    return [one.state for one in processes(spool)]


def test_a_living_process_is_named(tmp_path):
    with closing(Pulse(tmp_path, "receive")):
        assert processes(tmp_path) == [Process("receive", HOST, os.getpid(), "alive")]


def test_one_that_ends_in_order_leaves_nothing(tmp_path):
    Pulse(tmp_path, "receive").close()
    assert processes(tmp_path) == []


def test_a_killed_process_is_dead(tmp_path):
    with beating(tmp_path) as pid:
        assert states(tmp_path) == ["alive"]
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: states(tmp_path) == ["dead"])


def test_a_stopped_process_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SILENT_S", 1.5)
    with beating(tmp_path) as pid:
        os.kill(pid, signal.SIGSTOP)
        assert eventually(lambda: states(tmp_path) == ["hangs"])
        os.kill(pid, signal.SIGCONT)
        assert eventually(lambda: states(tmp_path) == ["alive"])


def test_a_process_whose_work_does_not_come_round_hangs(tmp_path):
    def beat() -> int | None:
        return last_beat(tmp_path, "work", os.getpid())

    with closing(Pulse(tmp_path, "work")) as pulse:
        first = beat()
        assert eventually(lambda: beat() != first)
        assert not pulse.hangs
        pulse.expect(-1.0)
        assert pulse.hangs
        pulse.expect(60.0)
        later = beat()
        assert eventually(lambda: beat() != later)


def test_a_new_process_takes_the_place_of_a_dead_one(tmp_path):
    with beating(tmp_path) as pid:
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: states(tmp_path) == ["dead"])
    with closing(Pulse(tmp_path, "work")):
        assert states(tmp_path) == ["alive"]


def test_nobody_serves_a_spool_twice(tmp_path):
    with alone(tmp_path):
        expected = f"is served already, by process {os.getpid()} on {HOST}"
        with pytest.raises(PluginError, match=expected), alone(tmp_path):
            pass
    with alone(tmp_path):
        pass
