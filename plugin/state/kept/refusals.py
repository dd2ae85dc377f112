"""Who was refused, and why: a row for each day, sender and reason, however often they try.

Receivers count in memory, and write every few seconds, as they do with all that is counted.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from sqlalchemy import String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from dicom_io.cleaned import cleaned
from plugin.state.clock import now_of
from plugin.state.columns import Base, UtcDateTime
from plugin.state.database import SessionFactory, one_at_a_time

# A scanner of ports has any number of names: of a day so many are told apart
MOST = 500
OTHERS = "others"
# Older ones help nobody
_KEPT = timedelta(days=30)
_Key = tuple[str, str, str]


class Refusal(Base):
    """A sender that was refused on a day, for one reason."""

    __tablename__ = "refusals"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    # AE title; empty where none was told
    sender: Mapped[str] = mapped_column(String(16), primary_key=True)
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    reason: Mapped[str] = mapped_column(String(32), primary_key=True)
    count: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TurnedAway:
    """Whom a process refused and has not written yet; may be shared between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[_Key, int] = {}

    def note(self, sender: str, address: str, reason: str) -> None:
        """Count a refusal.

        Parameters
        ----------
        sender : str
            AE title; empty where none was told.
        address : str
            IP address.
        reason : str
            A word of ours, never a text of theirs.
        """
        key = cleaned(sender).strip()[:16], address[:64], reason
        with self._lock:
            if key not in self._counts and len(self._counts) >= MOST:
                key = OTHERS, "", reason
            self._counts[key] = self._counts.get(key, 0) + 1

    def flush(self, sessions: SessionFactory) -> None:
        """Write all; what the database does not take is kept for the next time.

        Raises
        ------
        DBAPIError
            The database does not take it.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            with sessions.begin() as session:
                one_at_a_time(session)
                now = now_of(session)
                for key, count in sorted(counts.items()):
                    _add(session, key, count, now)
        except BaseException:
            with self._lock:
                for key, count in counts.items():
                    self._counts[key] = self._counts.get(key, 0) + count
            raise


TURNED_AWAY = TurnedAway()
"""Of this process."""


def _add(session: Session, key: _Key, count: int, now: datetime) -> None:
    day = f"{now:%Y-%m-%d}"
    found = session.get(Refusal, (day, *key))
    if found is None:
        rows = session.scalar(select(func.count()).where(Refusal.day == day)) or 0
        if rows == 0:
            session.execute(delete(Refusal).where(Refusal.last_at < now - _KEPT))
        if rows >= MOST:
            key = OTHERS, "", key[2]
            found = session.get(Refusal, (day, *key))
    if found is None:
        sender, address, reason = key
        found = Refusal(day=day, sender=sender, address=address, reason=reason, count=0)
        found.first_at = now
        session.add(found)
    found.count += count
    found.last_at = now
    session.flush()


def refused_since(session: Session, since: datetime) -> list[Refusal]:
    """Return who was refused, the latest first.

    Parameters
    ----------
    session : Session
        The database.
    since : datetime
        The first moment that counts.
    """
    rows = select(Refusal).where(Refusal.last_at >= since).order_by(Refusal.last_at.desc())
    return list(session.scalars(rows.limit(2 * MOST)))
