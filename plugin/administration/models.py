"""The models of a service: which there are, what they wrote, and how one on trial compares."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from dicom_io.errors import PluginError
from plugin.administration.other_packages import brought
from plugin.feedback.comparison import Comparison, pairs
from plugin.feedback.promotion import OWN, current_model, promote
from plugin.settings import Settings
from plugin.state.audit import Who
from plugin.state.clock import now_by
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.trials import Shadow
from plugin.state.tables import Draft


def models_to_dict(settings: Settings, sessions: SessionFactory) -> dict[str, Any]:
    """Return the models of the settings, whose drafts there are, and shadow drafts."""
    return {
        "current": current_model(sessions) or OWN,
        "models": [OWN, *(one.name for one in settings.models)],
        "on_trial": [one.name for one in settings.models if one.shadow],
        "drafts": _drafts_of(sessions),
        "shadows": _shadows_of(sessions),
    }


def compared(
    sessions: SessionFactory, spool: Spool, model: str, since: datetime | None
) -> Comparison:
    """Compare a model on trial with the current one on the same studies.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    model : str
        Name of the model on trial.
    since : datetime, optional
        The moment from which drafts were written.

    Raises
    ------
    PluginError
        The installation has nothing that reads findings.
    """
    read, found = findings_reader(), Comparison()
    for pair in pairs(sessions, spool, model, since):
        found.add(pair, read)
    return found


def comparison_to_dict(found: Comparison) -> dict[str, Any]:
    """Plain values of a comparison, for JSON."""
    # Not `asdict`: it makes another counter of a counter's pairs
    shown = {key: value for key, value in vars(found).items() if key != "alike"}
    return {**shown, "words_alike": found.words_alike}


def findings_reader() -> Any:
    """Return what names the findings that a text asserts; another package brings it.

    Raises
    ------
    PluginError
        None does.
    """
    read = brought("ctscribe.findings", "reader")
    return lambda text: [
        " ".join(filter(None, (one.side, one.finding, _MARK.get(one.status))))
        for one in read(text)
        if one.status != "absent"
    ]


_MARK = {"uncertain": "(uncertain)"}


def promote_named(settings: Settings, sessions: SessionFactory, name: str, who: Who) -> str:
    """Make a model of the settings the service's own; returns the one before.

    Parameters
    ----------
    settings : Settings
        Of the service.
    sessions : SessionFactory
        Of its database.
    name : str
        Of the model.
    who : Who
        Wants it.

    Raises
    ------
    PluginError
        The settings have no such model, or it is the service's own already.
    """
    known = [one.name for one in settings.models]
    if name not in (OWN, *known):
        has = ", ".join(known) or "none"
        raise PluginError(f"no model is called {name}; the settings have: {has}")
    return promote(sessions, None if name == OWN else name, now_by(sessions), who)


def _drafts_of(sessions: SessionFactory) -> list[dict[str, Any]]:
    of_model = Draft.model_name, Draft.model_digest
    counts = func.count(), func.count(Draft.retraction_path)
    with sessions() as session:
        rows = session.execute(select(*of_model, *counts).group_by(*of_model).order_by(*of_model))
        keys = ("model", "digest", "drafts", "retracted")
        return [dict(zip(keys, row, strict=True)) for row in rows]


def _shadows_of(sessions: SessionFactory) -> list[dict[str, Any]]:
    of_model = Shadow.model_name, Shadow.state
    with sessions() as session:
        rows = session.execute(select(*of_model, func.count()).group_by(*of_model))
        keys = ("model", "state", "drafts")
        return [dict(zip(keys, row, strict=True)) for row in rows]
