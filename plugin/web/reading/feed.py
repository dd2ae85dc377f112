"""What changes, for all open pages: the database is looked at once for all of them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from threading import Event as Flag
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from plugin.state.clock import now_of
from plugin.state.database import SessionFactory, reason_of
from plugin.state.kept.reviews import Presence, Review
from plugin.state.running.bell import Wait
from plugin.state.tables import Event, Study
from plugin.web.reading.presence import GONE_AFTER, readers_of

LOGGER = logging.getLogger(__name__)
# A reader sees a new study so late at the latest; the bell is quicker
_PAUSE_S = 2.0
# Proxies end a connection that is silent for a minute
HEARTBEAT_S = 15.0
# Longer than a look and its pause take
_SAVED_JUST_NOW = timedelta(minutes=1)
# PostgreSQL commits in another order than it numbers: so many rows are looked at again
_LOOKED_AT_AGAIN = 500


class Told(NamedTuple):
    """An event for a page."""

    kind: str
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"event: {self.kind}\ndata: {json.dumps(self.values)}\n\n"


class Feed:
    """Tells every open page what changes.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    wait : callable
        Waits for some seconds, or until there may be something new; see `Bell.wait`.
    """

    def __init__(self, sessions: SessionFactory, wait: Wait = Flag.wait) -> None:
        self._sessions = sessions
        self._wait = wait
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[str], asyncio.AbstractEventLoop] = {}
        self._newest: int | None = None
        self._seen: set[int] = set()
        self._saved: dict[str, int] | None = None
        self._present: dict[int, tuple[str, ...]] = {}

    def run(self, ended: Flag) -> None:
        """Look for what is new until an event is set."""
        while not ended.is_set():
            try:
                self.look()
            except DBAPIError as error:
                LOGGER.debug("no page is told of changes: %s", reason_of(error))
            self._wait(ended, _PAUSE_S)

    def look(self) -> None:
        """Tell what has changed since the last look."""
        with self._sessions() as session:
            now = now_of(session)
            changed = dict.fromkeys((*self._studies(session), *self._reviews(session, now)))
            told = [Told("study", {"study_instance_uid": uid}) for uid in changed]
            told += self._presence(session, now)
        self.tell(told)

    def tell(self, told: Iterable[Told]) -> None:
        """Give events to every page that is open."""
        texts = [str(one) for one in told]
        with self._lock:
            for queue, loop in self._listeners.items() if texts else ():
                loop.call_soon_threadsafe(_put, queue, texts)

    async def listen(self, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[str]:
        """Yield the lines of a stream of server-sent events, for as long as it is read."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        with self._lock:
            self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield ": here\n\n"  # headers go out with the first piece of the body
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), heartbeat_s)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                del self._listeners[queue]

    def _studies(self, session: Session) -> list[str]:
        """The studies that something has happened to."""
        if self._newest is None:
            self._newest = session.scalar(select(func.max(Event.id))) or 0
            since = Event.id > self._newest - _LOOKED_AT_AGAIN
            self._seen = set(session.scalars(select(Event.id).where(since)))
            return []
        query = select(Event.id, Study.study_instance_uid).outerjoin(
            Study, Study.id == Event.study_id
        )
        rows = session.execute(query.where(Event.id > self._newest - _LOOKED_AT_AGAIN)).all()
        fresh = [uid for number, uid in rows if uid and number not in self._seen]
        self._seen = {number for number, _ in rows}
        self._newest = max([self._newest, *self._seen])
        return fresh

    def _reviews(self, session: Session, now: datetime) -> list[str]:
        """The studies whose review was saved just now: most saves are no step of the timeline."""
        query = select(Study.study_instance_uid, Review.version).join(Review)
        rows = session.execute(query.where(Review.saved_at > now - _SAVED_JUST_NOW))
        saved = {uid: version for uid, version in rows}  # noqa: C416  dict() has no type for rows
        before, self._saved = self._saved, saved
        changed = (uid for uid, version in saved.items() if (before or {}).get(uid) != version)
        return [] if before is None else list(changed)

    def _presence(self, session: Session, now: datetime) -> list[Told]:
        """Studies that somebody has opened or left."""
        here = select(Presence.study_id).where(Presence.seen_at >= now - GONE_AFTER)
        found = readers_of(session, session.scalars(here.distinct()).all(), now)
        present = {study: tuple(one["name"] for one in who) for study, who in found.items()}
        changed = {
            study
            for study in present.keys() | self._present.keys()
            if present.get(study) != self._present.get(study)
        }
        self._present = present
        query = select(Study.id, Study.study_instance_uid).where(Study.id.in_(changed))
        return [
            Told("presence", {"study_instance_uid": uid, "readers": list(present.get(study, ()))})
            for study, uid in (session.execute(query) if changed else ())
        ]


def _put(queue: asyncio.Queue[str], texts: list[str]) -> None:
    for text in texts:
        queue.put_nowait(text)
