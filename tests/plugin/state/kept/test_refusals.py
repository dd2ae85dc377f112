"""Who was refused is told by day, sender and reason, and fills no table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from plugin.state.clock import now_by
from plugin.state.database import SessionFactory
from plugin.state.kept.refusals import OTHERS, Refusal, TurnedAway, refused_since


@pytest.fixture
def seen(sessions: SessionFactory) -> Callable[..., list[tuple[str, str, str, int]]]:
    def seen(days: int = 1) -> list[tuple[str, str, str, int]]:
        since = now_by(sessions) - timedelta(days=days)
        with sessions() as session:
            found = refused_since(session, since)
        return sorted((one.sender, one.address, one.reason, one.count) for one in found)

    return seen


def test_one_row_tells_of_many(sessions: SessionFactory, seen: Any) -> None:
    away = TurnedAway()
    for _ in range(3):
        away.note("CT9 ", "192.0.2.1", "UnknownSender")
    away.flush(sessions)
    away.note("CT9", "192.0.2.1", "UnknownSender")
    away.note("", "192.0.2.2", "NoTls")
    away.flush(sessions)
    away.flush(sessions)
    assert seen() == [("", "192.0.2.2", "NoTls", 1), ("CT9", "192.0.2.1", "UnknownSender", 4)]


def test_any_number_of_names_fills_no_table(
    sessions: SessionFactory, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin.state.kept.refusals.MOST", 3)
    for first in (0, 9):
        away = TurnedAway()
        for number in range(first, first + 9):
            away.note(f"X{number}", "192.0.2.1", "UnknownSender")
        away.flush(sessions)
    found = seen()
    assert len(found) <= 4
    assert sum(one[-1] for one in found) == 18
    assert any(one[0] == OTHERS for one in found)


def test_what_is_old_goes(sessions: SessionFactory, seen: Any) -> None:
    away = TurnedAway()
    away.note("OLD", "192.0.2.1", "CutOff")
    away.flush(sessions)
    old = now_by(sessions) - timedelta(days=31)
    with sessions.begin() as session:
        session.execute(update(Refusal).values(day=f"{old:%Y-%m-%d}", last_at=old))
    away.note("NEW", "192.0.2.1", "CutOff")
    away.flush(sessions)
    assert [one[0] for one in seen(90)] == ["NEW"]
