from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from plugin.state.database import SessionFactory
from plugin.state.running.bell import FOLDER, Bell, ring
from tests.waiting import eventually

LONG_S = 60.0


@pytest.fixture
def bell(engine: Engine) -> Iterator[Bell]:
    with closing(Bell(engine)) as bell:
        yield bell


def waited(bell: Bell, seconds: float = LONG_S) -> float:
    began = time.monotonic()
    bell.wait(threading.Event(), seconds)
    return time.monotonic() - began


def rung(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        ring(session)


def hears(bell: Bell) -> None:
    """Wait until the bell listens, which PostgreSQL's says by ringing once."""
    if bell._engine.dialect.name == "postgresql":
        assert eventually(lambda: bell._rings == 1)
        bell.wait(threading.Event(), 0.0)


def test_who_waits_is_woken_by_a_commit(bell, sessions):
    hears(bell)
    later = threading.Timer(0.1, rung, [sessions])
    later.start()
    assert waited(bell) < LONG_S / 2
    later.join()


def test_every_listener_is_woken(bell, engine, sessions):
    with closing(Bell(engine)) as other:
        hears(bell)
        hears(other)
        rung(sessions)
        assert max(waited(bell), waited(other)) < LONG_S / 2


def test_what_was_rung_since_the_last_wait_is_not_missed(bell, sessions):
    hears(bell)
    before = bell._rings
    rung(sessions)
    assert eventually(lambda: bell._rings > before)
    assert waited(bell) < LONG_S / 2


def test_a_transaction_that_is_rolled_back_wakes_nobody(bell, sessions):
    hears(bell)
    before = bell._rings
    with sessions() as session:
        session.begin()
        ring(session)
        session.rollback()
    assert waited(bell, 0.3) >= 0.3
    assert bell._rings == before


def test_waiting_ends_with_the_process(bell):
    hears(bell)
    stop = threading.Event()
    later = threading.Timer(0.1, stop.set)
    later.start()
    bell.wait(stop, LONG_S)
    assert stop.is_set()
    later.join()


def test_a_killed_listener_leaves_a_pipe_that_the_next_ring_removes(sqlite_template, tmp_path):
    """And one that is only stopped keeps it."""
    import shutil

    from plugin.state.database import connect, session_factory

    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}"
    program = (
        "import sys, threading; from plugin.state.running.bell import Bell\n"
        "from plugin.state.database import connect\n"
        "bell = Bell(connect(sys.argv[1])); print('ready', flush=True)\n"
        "threading.Event().wait()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    with child.stdout as said:
        assert said.readline() == "ready\n"
        engine = connect(url)
        sessions = session_factory(engine)

        def pipes() -> list[Path]:
            return list((tmp_path / FOLDER).iterdir())

        os.kill(child.pid, signal.SIGSTOP)
        rung(sessions)
        assert len(pipes()) == 1
        child.kill()
        child.wait()
        rung(sessions)
        assert pipes() == []
        engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgres_that_was_away_is_heard_again(bell, engine, sessions, monkeypatch):
    monkeypatch.setattr("plugin.state.running.bell._AGAIN_S", 0.05)
    hears(bell)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN ctscribe'"
        )
    assert eventually(lambda: bell._rings >= 2)
    rung(sessions)
    assert eventually(lambda: bell._rings >= 3)
