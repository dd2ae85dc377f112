"""Which model is the service's own: that of `[engine]`, until another one is promoted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.errors import PluginError
from plugin.state.audit import Action, Entry, Who, record
from plugin.state.database import SessionFactory, one_at_a_time
from plugin.state.kept.trials import Promotion
from plugin.state.kinds import Kind
from plugin.state.running.bell import ring
from plugin.state.timeline import add_event

OWN = "[engine]"
"""How messages call the model of the settings' table [engine]."""


def current_model(sessions: SessionFactory) -> str | None:
    """Return the name of the promoted model; None is that of `[engine]`."""
    with sessions() as session:
        return _current(session)


def promote(sessions: SessionFactory, name: str | None, now: datetime, who: Who) -> str:
    """Make a model the service's own; workers start again with it. Returns the one before.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    name : str or None
        Of a table [[models]]; None is the model of [engine].
    now : datetime
        The moment, in UTC.
    who : Who
        Wants it.

    Raises
    ------
    PluginError
        It is the service's own already.
    """
    with sessions.begin() as session:
        one_at_a_time(session)
        before = _current(session)
        if before == name:
            raise PluginError(f"{name or OWN} is the service's model already")
        _change(session, before, name, now, who)
        return before or OWN


def roll_back(sessions: SessionFactory, now: datetime, who: Who) -> str:
    """Undo the latest change; returns the model that is the service's own now.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    now : datetime
        The moment, in UTC.
    who : Who
        Wants it.

    Raises
    ------
    PluginError
        The model was never changed, or the latest change went back already: a second one would
        bring back what the first one took away.
    """
    with sessions.begin() as session:
        one_at_a_time(session)
        newest = select(Promotion).order_by(Promotion.id.desc()).limit(2)
        latest, earlier = (*session.scalars(newest), None, None)[:2]
        if latest is None:
            raise PluginError("no model was promoted: there is nothing to roll back")
        if earlier is not None and earlier.before == latest.model_name:
            raise PluginError(
                f"the latest change went back to {latest.model_name or OWN} already: name the "
                "model that you want, `ctscribe models promote NAME`"
            )
        _change(session, latest.model_name, latest.before, now, who)
        return latest.before or OWN


def _current(session: Session) -> str | None:
    return session.scalar(select(Promotion.model_name).order_by(Promotion.id.desc()).limit(1))


def _change(
    session: Session, before: str | None, name: str | None, now: datetime, who: Who
) -> None:
    session.add(Promotion(time=now, model_name=name, before=before))
    message = f"the service's model is {name or OWN}, in place of {before or OWN}"
    add_event(session, Kind.PROMOTED, message, now=now)
    values = {"model": name or OWN}
    entry = Entry(action=Action.CONFIGURED, who=who, detail=message, values=values)
    record(session, entry, now=now)
    ring(session)
