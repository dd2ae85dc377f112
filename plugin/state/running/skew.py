"""Whether this host's clock goes as the database's does; a wrong one is told once, and its end.

No deadline depends on it: those go by the database's clock. Logs and reports go by the host's.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from plugin.state.background import in_background
from plugin.state.clock import now_of, skew_s
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.tables import Event, Level
from plugin.state.timeline import add_event

# NTP keeps hosts within milliseconds; two seconds are a clock that nothing keeps
MOST_S = 2.0
PAUSE_S = 60.0
# The processes of a host all look; one tells
_TOLD_BY_ANOTHER = timedelta(hours=1)


def told(skew: float) -> str:
    """Say how a host's clock differs."""
    return f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database's"


@dataclass
class ClockWatch:
    """Looks at the clock of this host.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    """

    sessions: SessionFactory
    _wrong: bool = field(default=False, init=False)

    def look(self) -> None:
        """Compare, and write an event where something changed."""
        with self.sessions.begin() as session:
            skew = skew_s(session)
            wrong = abs(skew) > MOST_S
            if wrong == self._wrong:
                return
            self._wrong = wrong
            host, now = socket.gethostname(), now_of(session)
            kind, level = (
                (Kind.CLOCK_WRONG, Level.ALERT) if wrong else (Kind.CLOCK_RIGHT, Level.INFO)
            )
            latest = select(Event.kind).where(
                Event.time >= now - _TOLD_BY_ANOTHER,
                Event.kind.in_((Kind.CLOCK_WRONG, Kind.CLOCK_RIGHT)),
                Event.message.startswith(f"{host}:", autoescape=True),
            )
            if session.scalar(latest.order_by(Event.id.desc()).limit(1)) != kind:
                message = f"{host}: the clock is {told(skew) if wrong else 'right again'}"
                add_event(session, kind, message, now=now, level=level)


@contextmanager
def watching_clock(sessions: SessionFactory, pause_s: float = PAUSE_S) -> Iterator[None]:
    """Look at the clock now, and from time to time for the length of a `with` block."""
    if sessions.kw["bind"].dialect.name == "sqlite":
        yield
        return
    watch = ClockWatch(sessions)

    def run(ended: threading.Event) -> None:
        while True:
            with suppress(DBAPIError):  # those who need the database tell that it is down
                watch.look()
            if ended.wait(pause_s):
                return

    with in_background(("clock", run)):
        yield
