"""Moments and pauses of the service, whatever is set and however long something lasts.

A clock that is set must not make a study wait for days, nor cut it off while it arrives. What
hosts tell each other in the database is told by the database's clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import InstrumentedAttribute, Session

from plugin.state.database import SessionFactory

# More than a transaction waits between its moment and its commit; whatever is farther off was
# written before the clock was set
CLOCK_SLACK = timedelta(seconds=60)

# Past every longest pause of the service; weeks of waiting would overflow a float
_MOST_DOUBLINGS = 16

_ASK = "SELECT clock_timestamp()"
Moment = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


def now_of(session: Session) -> datetime:
    """Return the present, in UTC, by the clock of the database.

    SQLite has none: its database is one host's, whose clock it is.
    """
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = session.connection().exec_driver_sql(_ASK).scalar_one()
    return now.astimezone(UTC)


def now_at(cursor: DBAPICursor, dialect: Dialect) -> datetime:
    """The same for whoever speaks to the database in the words of its driver."""
    if dialect.name == "sqlite":
        return datetime.now(UTC)
    cursor.execute(_ASK)
    ((now,),) = cursor.fetchall()
    moment: datetime = now
    return moment.astimezone(UTC)


def now_by(sessions: SessionFactory) -> datetime:
    """Return the present by the clock of the database, outside of any transaction."""
    with sessions() as session:
        return now_of(session)


def skew_s(session: Session) -> float:
    """Return by how many seconds this host's clock is ahead of the database's; negative: behind.

    What asking takes counts as no difference.
    """
    before, there, after = datetime.now(UTC), now_of(session), datetime.now(UTC)
    return (min(max(there, before), after) - there).total_seconds()


def too_far(moment: Moment, bound: str) -> ColumnElement[bool]:
    """Whether a moment lies farther ahead than any is written, as a condition of a query.

    It was written before the clock was set back, nobody knows how far: it counts as past.

    Parameters
    ----------
    moment : column
        A deadline, the end of a lease or of a pause.
    bound : str
        Name of the query's parameter for the present, how far ahead such moments are written, and
        `CLOCK_SLACK`, together.
    """
    return moment > bindparam(bound, type_=moment.type)


def doubled(first_s: float, longest_s: float, times: int) -> float:
    """Return a pause that was doubled some times, up to the longest.

    Parameters
    ----------
    first_s, longest_s : float
        Pauses in seconds.
    times : int
        Any number: 0 is the first pause.
    """
    factor: float = 2.0 ** min(times, _MOST_DOUBLINGS)
    return min(first_s * factor, longest_s)
