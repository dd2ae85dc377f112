"""Statements whose text is made once, on both servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import bindparam, func, insert, select, update

from plugin.state.prepared import Prepared
from plugin.state.tables import Event as EventTable
from plugin.state.tables import Level

EVENTS = EventTable.metadata.tables["events"]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADD = Prepared(insert(EVENTS), ["time", "kind", "level", "message", "unnoticed"])
COUNT = Prepared(
    select(func.count())
    .select_from(EVENTS)
    .where(EVENTS.c.time == bindparam("time"), EVENTS.c.level == Level.ALERT)
)


def add(session, message: str, time: datetime = NOON) -> None:
    values = {"time": time, "kind": "x", "level": Level.ALERT, "message": message}
    values["unnoticed"] = False
    ADD.execute(session.connection(), values)


def test_rows_are_written_as_the_statement_itself_writes_them(sessions, rows):
    with sessions.begin() as session:
        add(session, "it's %s, 100 %")
    (event,) = rows(EventTable)
    assert (event.time, event.level, event.message) == (NOON, "alert", "it's %s, 100 %")


def test_moments_are_compared_in_utc_and_constants_stay(sessions):
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    with sessions.begin() as session:
        add(session, "a", elsewhere)
        add(session, "b", NOON + timedelta(seconds=1))
    with sessions() as session:
        assert COUNT.execute(session.connection(), {"time": NOON}).scalar() == 1


def test_it_tells_how_many_rows_it_changed(sessions):
    with sessions.begin() as session:
        add(session, "a")
        change = Prepared(
            update(EVENTS).where(EVENTS.c.message == bindparam("which")).values(kind="y")
        )
        changed = [change.execute(session.connection(), {"which": one}).rowcount for one in "ab"]
    assert changed == [1, 0]
