"""The supervisor, with shell commands for processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plugin import supervisor as service
from plugin.supervisor import supervise
from tests.repository import ROOT
from tests.waiting import eventually


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1][:3]


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


@contextmanager
def supervised(*scripts: str, patience_s: float = 5.0, **options: Any) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(
        target=supervise,
        args=([["-c", script] for script in scripts],),
        kwargs={"program": ["/bin/sh"], "stop": stop, "patience_s": patience_s, **options},
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.05)


def test_every_command_runs(tmp_path):
    with supervised(*(f"touch {tmp_path}/{n}; sleep 60" for n in "ab")):
        assert eventually(lambda: {p.name for p in tmp_path.iterdir()} == {"a", "b"})


def test_a_process_that_dies_is_started_again(tmp_path):
    with supervised(f"touch {tmp_path}/$$; exec sleep 60"):
        assert eventually(lambda: len(pids(tmp_path)) == 1)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        assert eventually(lambda: len(pids(tmp_path)) == 2)


def test_a_process_that_keeps_dying_is_started_ever_more_rarely(tmp_path, caplog):
    with supervised(f"touch {tmp_path}/$$; exit 3"):
        assert eventually(lambda: len(pids(tmp_path)) == 5)
    pauses = [one.args[2] for one in caplog.records if "starts again" in one.msg]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]


def test_one_that_is_stopped_is_seen_replaced_and_reported(tmp_path, monkeypatch):
    """It touches its file as a process of the service does."""
    monkeypatch.setattr(service, "SILENT_S", 1.0)
    told: list[str] = []

    def last_beat(part: str, pid: int) -> int | None:
        path = tmp_path / str(pid)
        return path.stat().st_mtime_ns if path.exists() else None

    with supervised(
        f"while :; do touch {tmp_path}/$$; sleep 0.05; done",
        last_beat=last_beat,
        report=told.append,
    ):
        assert eventually(lambda: len(pids(tmp_path)) == 1)
        stopped = pids(tmp_path)[0]
        os.kill(stopped, signal.SIGSTOP)
        assert eventually(lambda: len(pids(tmp_path)) == 2)
        assert not alive(stopped)
    assert len(told) == 1
    assert f"process {stopped}" in told[0]
    assert "is replaced" in told[0]


def test_a_report_that_fails_stops_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(service, "STARTS_S", 0.3)

    def report(_: str) -> None:
        raise OSError

    with supervised(f"touch {tmp_path}/$$; exec sleep 60", report=report):
        assert eventually(lambda: len(pids(tmp_path)) >= 2)
    assert "the alert could not be recorded: OSError" in caplog.text


def test_one_that_dies_leaves_the_other_alone(tmp_path):
    dying, steady = tmp_path / "dying", tmp_path / "steady"
    dying.mkdir()
    steady.mkdir()
    with supervised(f"touch {dying}/$$; exit 1", f"touch {steady}/$$; exec sleep 60"):
        assert eventually(lambda: len(pids(dying)) == 4 and pids(steady))
        assert len(pids(steady)) == 1
        assert alive(pids(steady)[0])


def test_at_the_end_all_are_asked_to_stop(tmp_path):
    forever = f"touch {tmp_path}/up; while :; do sleep 0.05; done"
    script = f"trap 'touch {tmp_path}/stopped; exit 0' TERM; {forever}"
    with supervised(script):
        assert eventually((tmp_path / "up").exists)
    assert (tmp_path / "stopped").exists()


def test_one_that_does_not_stop_is_killed(tmp_path):
    script = f"trap '' TERM; touch {tmp_path}/$$; while :; do sleep 0.05; done"
    with supervised(script, patience_s=0.3):
        assert eventually(lambda: len(pids(tmp_path)) == 1)
    assert not alive(pids(tmp_path)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_no_process_outlives_a_supervisor_that_was_killed(tmp_path):
    program = (
        "from plugin.supervisor import supervise;"
        f"supervise([['-c', 'touch {tmp_path}/$$; exec sleep 60']], program=['/bin/sh'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as supervisor:
        assert eventually(lambda: len(pids(tmp_path)) == 1)
        supervisor.kill()
    assert eventually(lambda: not alive(pids(tmp_path)[0]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(tmp_path, number):
    program = (
        "from plugin.supervisor import supervise;"
        f"supervise([['-c', 'touch {tmp_path}/$$; exec sleep 60']], program=['/bin/sh'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as supervisor:
        assert eventually(lambda: len(pids(tmp_path)) == 1)
        supervisor.send_signal(number)
        assert supervisor.wait(20) == 0
    assert not alive(pids(tmp_path)[0])


def test_a_hangup_reaches_workers_and_nobody_else(tmp_path):
    """And it ends nothing."""
    script = tmp_path / "program"
    heard = "trap 'echo $1 >> heard' HUP; echo $1 >> ready; while :; do sleep 0.05; done"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}; {heard}\n")
    script.chmod(0o755)
    code = (
        "from plugin.supervisor import supervise\n"
        f"supervise([['work'], ['receive']], program=['{script}'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ready, told = tmp_path / "ready", tmp_path / "heard"
        assert eventually(lambda: ready.exists() and len(ready.read_text().split()) == 2)
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: told.exists() and told.read_text().split())
        assert told.read_text().split() == ["work"]
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()
