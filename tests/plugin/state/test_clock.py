from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plugin.state.clock import doubled, now_by, skew_s
from plugin.state.database import SessionFactory
from tests.plugin.clocks import set_host_clock


def test_the_present_is_in_utc(sessions: SessionFactory) -> None:
    before, now = datetime.now(UTC), now_by(sessions)
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)


@pytest.mark.parametrize("ahead", [timedelta(seconds=45), -timedelta(seconds=45)])
def test_hosts_of_one_server_have_one_present(
    sessions: SessionFactory, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    """SQLite has no clock of its own, nor a second host."""
    set_host_clock(monkeypatch, ahead)
    shared = sessions.kw["bind"].dialect.name == "postgresql"
    seen = now_by(sessions) - datetime.now(UTC)
    assert abs(seen - (timedelta(0) if shared else ahead)) < timedelta(seconds=10)
    with sessions() as session:
        expected = ahead.total_seconds() if shared else 0.0
        assert skew_s(session) == pytest.approx(expected, abs=10)


def test_a_clock_that_is_right_differs_by_nothing(sessions: SessionFactory) -> None:
    with sessions() as session:
        assert skew_s(session) == 0.0


@pytest.mark.parametrize(("times", "pause"), [(0, 10), (1, 20), (4, 100), (10**6, 100)])
def test_pauses_double_up_to_the_longest(times: int, pause: float) -> None:
    assert doubled(10, 100, times) == pause
