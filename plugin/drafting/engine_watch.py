"""The engine seen from the worker: whether it can take work, and which model it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.errors import EngineUnavailable
from engine.protocol import ModelIdentity
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.tables import Event, Level
from plugin.state.timeline import add_event

UP, DOWN, CHANGED = Kind.ENGINE_UP, Kind.ENGINE_DOWN, Kind.MODEL_CHANGED


@dataclass
class EngineWatch:
    """Tells the service's timeline when the engine goes down, comes back, or changes its model.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    engine : str
        How messages name the engine: an URL without credentials, or a model.
    identify : callable
        Asks the engine which model it runs; raises `EngineUnavailable` if it cannot take work.
    """

    sessions: SessionFactory
    engine: str
    identify: Callable[[], ModelIdentity]
    _told: str | None = field(default=None, init=False)

    def ready(self) -> bool:
        """Ask the engine, and return whether it can take work."""
        try:
            identity = self.identify()
        except EngineUnavailable as error:
            self._tell("", partial(self._down, str(error)))
            return False
        self._tell(identity.digest, partial(self._up, identity))
        return True

    def _tell(self, digest: str, write: Callable[[Session], None]) -> None:
        """Look into the timeline only when something changed since the last time."""
        if digest == self._told:
            return
        with self.sessions.begin() as session:
            write(session)
        self._told = digest

    def _down(self, reason: str, session: Session) -> None:
        before = latest_engine_event(session)
        last = _detail(before)
        if before is not None and before.kind == DOWN and last.get("engine") == self.engine:
            return
        message = f"the engine is down, studies wait: {reason}"
        self._add(session, DOWN, message, {**last, "engine": self.engine}, Level.ALERT)

    def _up(self, identity: ModelIdentity, session: Session) -> None:
        before = latest_engine_event(session)
        last = _detail(before)
        now = {"engine": self.engine, "model": _named(identity), "digest": identity.digest}
        if last.get("digest", identity.digest) != identity.digest:
            message = f"the model changed: {now['model']} takes the place of {last['model']}"
            self._add(session, CHANGED, message, now, Level.WARNING)
        elif last != now or (before is not None and before.kind == DOWN):
            message = f"engine {self.engine} answers: {now['model']}"
            self._add(session, UP, message, now, Level.INFO)

    def _add(
        self, session: Session, kind: Kind, message: str, detail: dict[str, Any], level: Level
    ) -> None:
        add_event(session, kind, message, now=now_of(session), level=level, detail=detail)


def tell_failure(sessions: SessionFactory, engine: str, reason: str) -> None:
    """Say that a model does not load.

    Parameters
    ----------
    sessions : SessionFactory
    engine : str
        How messages name it.
    reason : str
    """

    def identify() -> ModelIdentity:
        raise EngineUnavailable(reason)

    EngineWatch(sessions, engine, identify).ready()


def latest_engine_event(session: Session) -> Event | None:
    """Return what was last written about the engine; its `detail` names engine and model."""
    about = Event.kind.in_((UP, DOWN, CHANGED))
    return session.scalar(select(Event).where(about).order_by(Event.id.desc()).limit(1))


def _detail(event: Event | None) -> dict[str, Any]:
    return {} if event is None or event.detail is None else event.detail


def _named(identity: ModelIdentity) -> str:
    return f"{identity.name} {identity.version} ({identity.digest[:12]})"
