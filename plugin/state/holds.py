"""Holds: an open association keeps the studies that it contributed to from being complete.

`plugin.reception.intake` makes one with an association's first instance of a study.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from plugin.state.tables import Association

# An association whose receiver has not spoken for so long is dead, and holds nothing
STALE_S = 30.0


def beat(session: Session, associations: Iterable[str], now: datetime) -> None:
    """Say that associations are still open."""
    session.execute(
        update(Association)
        .where(Association.association.in_(list(associations)))
        .values(heartbeat=now)
    )


def release(session: Session, associations: Iterable[str]) -> None:
    """Let go of the studies that ended associations held."""
    session.execute(delete(Association).where(Association.association.in_(list(associations))))


def forget_dead(session: Session, older_than: datetime) -> None:
    """Remove the holds of receivers that died with their associations open."""
    session.execute(delete(Association).where(Association.heartbeat < older_than))


def stale_before(now: datetime) -> datetime:
    """Return the moment before which a heartbeat is a dead receiver's."""
    return now - timedelta(seconds=STALE_S)
