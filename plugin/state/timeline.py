"""The timeline: one row for every step that somebody may ask about later."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from dicom_io.cleaned import cleaned, cleaned_values
from plugin.state.kinds import Kind
from plugin.state.tables import Event, Level
from plugin.state.tally import TALLY, Counted

# Not by way of an object: most transactions write an event, and some nothing else
_INSERT = insert(Event.metadata.tables["events"])
LOGGER = logging.getLogger(__name__)
_LOG_LEVEL = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ALERT: logging.ERROR}


def add_event(
    session: Session,
    kind: Kind,
    message: str,
    *,
    now: datetime,
    study_id: int | None = None,
    level: Level = Level.INFO,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an event in the caller's transaction, and log it.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    kind : Kind
        What programs look for.
    message : str
        What a person reads; it holds no patient's identity. What it quotes from outside is
        cleaned here.
    now : datetime
        The moment, in UTC.
    study_id : int, optional
        The study; without one the event is the service's own.
    level : Level
        How loud it is.
    detail : dict, optional
        Further values for programs.
    """
    message = cleaned(message)
    event = {"time": now, "study_id": study_id, "kind": kind, "level": level, "message": message}
    event |= {"detail": cleaned_values(detail), "unnoticed": level is Level.ALERT}
    session.connection().execute(_INSERT, event)
    TALLY.count(Counted.EVENTS, kind=str(kind), level=str(level))
    LOGGER.log(_LOG_LEVEL[level], "%s: %s%s", kind, message, _of_study(study_id))


def add_event_once(
    session: Session, kind: Kind, message: str, *, now: datetime, study_id: int, level: Level
) -> None:
    """Write an event unless the study's latest one of this kind says the same.

    Parameters
    ----------
    session : Session
        The database.
    kind : Kind
        Of the event.
    message : str
        What to tell; it names no patient.
    now : datetime
        When it happened.
    study_id : int
        Key of the study.
    level : Level
        How much it matters.
    """
    of_kind = select(Event.message).where(Event.study_id == study_id, Event.kind == kind)
    if session.scalar(of_kind.order_by(Event.id.desc()).limit(1)) != cleaned(message):
        add_event(session, kind, message, now=now, study_id=study_id, level=level)


def _of_study(study_id: int | None) -> str:
    return "" if study_id is None else f" (study {study_id})"
