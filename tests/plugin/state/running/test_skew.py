from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plugin.state.database import SessionFactory
from plugin.state.running import skew
from plugin.state.running.skew import ClockWatch, watching_clock
from plugin.state.tables import Event
from tests.waiting import eventually


@pytest.fixture
def ahead_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By how many seconds the host's clock is ahead."""
    ahead_s = [0.0]
    monkeypatch.setattr(skew, "skew_s", lambda _session: ahead_s[0])
    monkeypatch.setattr(skew.socket, "gethostname", lambda: "ct_1")
    return ahead_s


def told(rows: Callable[[Any], list[Any]]) -> list[tuple[str, str, str]]:
    return [(event.kind, event.level, event.message) for event in rows(Event)]


WRONG = ("clock wrong", "alert", "ct_1: the clock is 45.0 s ahead of the database's")
RIGHT = ("clock right", "info", "ct_1: the clock is right again")


def test_a_wrong_clock_is_told_once_and_its_end(
    sessions: SessionFactory, ahead_s: list[float], rows: Callable[[Any], list[Any]]
) -> None:
    watch = ClockWatch(sessions)
    for seconds in (0.0, 1.9, 45.0, 46.0, -1.9, 0.0):
        ahead_s[0] = seconds
        watch.look()
    assert told(rows) == [WRONG, RIGHT]


def test_of_a_hosts_processes_one_tells(
    sessions: SessionFactory, ahead_s: list[float], rows: Callable[[Any], list[Any]]
) -> None:
    watches = [ClockWatch(sessions), ClockWatch(sessions)]
    for seconds in (45.0, 0.0, 45.0):
        ahead_s[0] = seconds
        for watch in watches:
            watch.look()
    assert told(rows) == [WRONG, RIGHT, WRONG]


def test_a_clock_that_is_behind_is_told_of_each_host(
    sessions: SessionFactory,
    ahead_s: list[float],
    rows: Callable[[Any], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead_s[0] = -3.0
    for host in ("ct_1", "ct11"):
        monkeypatch.setattr(skew.socket, "gethostname", lambda host=host: host)
        ClockWatch(sessions).look()
    assert [event.message for event in rows(Event)] == [
        "ct_1: the clock is 3.0 s behind the database's",
        "ct11: the clock is 3.0 s behind the database's",
    ]


def test_the_service_looks_from_its_start(
    sessions: SessionFactory, ahead_s: list[float], rows: Callable[[Any], list[Any]]
) -> None:
    ahead_s[0] = 45.0
    shared = sessions.kw["bind"].dialect.name == "postgresql"
    with watching_clock(sessions):
        eventually(lambda: told(rows) == ([WRONG] if shared else []))
