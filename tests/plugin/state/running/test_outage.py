"""A database that is down is waited for, and told in one line."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from plugin.delivery.delivery import delivering
from plugin.delivery.destinations import Destination
from plugin.drafting.worker import Worker
from plugin.state.files.spool import Spool
from plugin.state.running import outage
from plugin.state.running.outage import await_database
from plugin.supervisor import CTSCRIBE
from tests.repository import ROOT
from tests.waiting import eventually

NO_TIME = OperationalError("", {}, Exception("connection refused\nIs the server running?"))


def fails(times: int | None, error: Exception = NO_TIME) -> Any:
    """Raise so often, or for ever; then give nothing."""
    calls = iter(range(10**6))

    def call(*_: Any, **__: Any) -> Any:
        if times is None or next(calls) < times:
            raise error

    return call


def test_a_database_that_is_down_is_waited_for_in_one_line(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="plugin")
    monkeypatch.setattr(outage, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(outage, "open_database", fails(5))
    told: list[float] = []
    await_database("", threading.Event(), told.append)
    assert [record.message for record in caplog.records] == [
        "the database does not answer, it is waited for: connection refused",
        "the database answers again",
    ]
    assert len(told) == 6


def test_who_is_stopped_waits_no_longer(monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(outage, "open_database", fails(None))
    threading.Timer(0.1, stop.set).start()
    assert await_database("", stop) is None


@pytest.mark.parametrize("part", ["receive", "work", "deliver", "upkeep"])
def test_a_process_waits_and_ends_when_it_is_told_to(tmp_path: Path, part: str) -> None:
    config = tmp_path / "ctscribe.toml"
    # Nobody listens at a socket in an empty folder
    url = f"postgresql+psycopg://ctscribe@/ctscribe?host={tmp_path}"
    config.write_text(f'storage = {{ spool = "spool", database = "{url}" }}\nreceiver.port = 0\n')
    command = [*CTSCRIBE, part, "-c", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env=environment)
        try:
            assert eventually(lambda: "is waited for" in log.read_text("utf-8"), 120)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    waits, ends = log.read_text("utf-8").splitlines()
    assert "the database does not answer, it is waited for: " in waits
    assert f"SIGTERM: process {process.pid} finishes what is in hand, and ends" in ends


class Away:
    """Stands for an outbox whose database is away."""

    def __init__(self) -> None:
        self.asked = 0

    def claim(self, *_: Any) -> None:
        self.asked += 1
        raise NO_TIME


def test_all_threads_of_delivery_tell_an_outage_in_one_line(caplog):
    outbox: Any = Away()
    archive: Any = None
    destinations = [Destination(name, archive) for name in ("pacs", "vna", "ris")]
    with delivering(outbox, destinations, 0.001):
        assert eventually(lambda: outbox.asked > 30)
    assert len(caplog.records) == 1


def test_all_threads_of_a_worker_tell_an_outage_in_one_line(caplog, tmp_path):
    sessions: Any = None
    stop, asked = threading.Event(), []

    def ready() -> bool:
        asked.append(1)
        if len(asked) > 30:
            stop.set()
        raise NO_TIME

    Worker(sessions, Spool(tmp_path), fails(0), {}, ready=ready, studies=3).run(stop, 0.001)
    assert len(caplog.records) == 1
