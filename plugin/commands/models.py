"""`ctscribe models`: which models write, how one on trial compares, and what a bad one has left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import func, select

from dicom_io.errors import PluginError
from plugin.assembly import open_spool, passing_sessions
from plugin.commands.moments import moment
from plugin.commands.other_packages import brought
from plugin.console import say
from plugin.feedback.bad_model import TakenBack, digest_like, retract_drafts, standing_drafts
from plugin.feedback.comparison import Comparison, pairs
from plugin.feedback.promotion import OWN, current_model, promote, roll_back
from plugin.settings import Settings
from plugin.state.clock import now_by
from plugin.state.database import SessionFactory
from plugin.state.tables import Draft
from plugin.state.trials import Shadow
from plugin.workplace import taking_notes


def print_models(settings: Settings, *, as_json: bool) -> None:
    """Print the models of the settings, and whose drafts the service has."""
    with passing_sessions(settings) as sessions:
        current = current_model(sessions)
        wrote = _drafts_of(sessions)
        trials = _shadows_of(sessions)
    known = [OWN, *(one.name for one in settings.models)]
    if as_json:
        found = {"current": current or OWN, "models": known, "drafts": wrote, "shadows": trials}
        click.echo(json.dumps(found, indent=2))
        return
    for name in known:
        say(f"{'* ' if name == (current or OWN) else '  '}{name}")
    for one in wrote:
        name, digest = one["model"] or "unknown", one["digest"] or ""
        say(f"{one['drafts']} drafts by {name}  {digest[:12]}  {one['retracted']} retracted")
    for one in trials:
        say(f"{one['drafts']} shadow drafts by {one['model']}: {one['state']}")


def print_comparison(settings: Settings, model: str, since: str | None, *, as_json: bool) -> None:
    """Print how a model on trial differs from the current one on the same studies.

    Parameters
    ----------
    settings : Settings
        Of the service.
    model : str
        Name of the model on trial.
    since : str, optional
        A day, or how long ago.
    as_json : bool
        Whether one JSON object is printed in place of a table.

    Raises
    ------
    PluginError
        The installation has nothing that reads findings.
    """
    read, found = findings_reader(), Comparison()
    with passing_sessions(settings) as sessions:
        for pair in pairs(sessions, open_spool(settings), model, moment(since) if since else None):
            found.add(pair, read)
    if as_json:
        shown = {key: value for key, value in asdict(found).items() if key != "alike"}
        click.echo(json.dumps({**shown, "words_alike": found.words_alike}, indent=2))
        return
    _say_comparison(found, model)


def _say_comparison(found: Comparison, model: str) -> None:
    if found.words_alike is None:
        say(f"no study was drafted by {model} in the shadow yet")
        return
    same = f"{found.same_findings} with the same findings, {found.same_text} with the same text"
    say(f"{found.pairs} studies: {same}; {100 * found.words_alike:.0f} % of words alike (median)")
    say(f"{'finding':32} {'both':>6} {'current':>8} {model:>12}")
    named = {*found.both, *found.current_only, *found.shadow_only}
    for name in sorted(named, key=lambda name: (-_differ(found, name), name)):
        counts = found.both[name], found.current_only[name], found.shadow_only[name]
        say(f"{name:32} {counts[0]:6} {counts[1]:8} {counts[2]:12}")
    for study, current, shadow in found.differing:
        say(f"{study}: current {_listed(current)}; {model} {_listed(shadow)}")


def _differ(found: Comparison, name: str) -> int:
    return found.current_only[name] + found.shadow_only[name]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing more"


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


def change_model(settings: Settings, name: str | None) -> None:
    """Make a model the service's own, or with None the one before, and say so.

    Raises
    ------
    PluginError
        The settings have no such model, or it is the service's own already.
    """
    known = [one.name for one in settings.models]
    if name is not None and name not in (*known, OWN):
        raise PluginError(f"no model is called {name}; the settings have: {', '.join(known)}")
    with passing_sessions(settings) as sessions:
        now = now_by(sessions)
        if name is None:
            say(f"the service's model is {roll_back(sessions, now)} again")
            return
        before = promote(sessions, None if name == OWN else name, now)
    say(f"the service's model is {name}, in place of {before}; workers start again with it")


def retract_model(settings: Settings, digest: str, *, dry_run: bool, as_json: bool) -> None:
    """Take back every draft of a model, and print each.

    Parameters
    ----------
    settings : Settings
        Of the service.
    digest : str
        The beginning of the model's digest.
    dry_run : bool
        Whether drafts are only counted.
    as_json : bool
        Whether one JSON object is printed in place of lines.

    Raises
    ------
    PluginError
        No model, or more than one, is meant.
    """
    with passing_sessions(settings) as sessions:
        whole = digest_like(sessions, digest)
        if dry_run:
            say(f"{len(standing_drafts(sessions, whole))} drafts of {whole} would be retracted")
            return
        notes, now = taking_notes(settings), now_by(sessions)
        taken = []
        for one in retract_drafts(sessions, open_spool(settings), whole, notes, now):
            taken.append(one)
            if not as_json:
                say(_line(one))
    if as_json:
        rows = [{**asdict(one), "where": one.where._asdict()} for one in taken]
        click.echo(json.dumps({"digest": whole, "retracted": rows}, indent=2))
        return
    by_hand = sum(bool(one.where.by_hand) for one in taken)
    say(f"{len(taken)} drafts of {whole} are retracted; {by_hand} of them need a person")


def _line(one: TakenBack) -> str:
    told = f"; rejection note to {', '.join(one.where.told)}" if one.where.told else ""
    hand = f"; remove by hand at {', '.join(one.where.by_hand)}" if one.where.by_hand else ""
    return f"{one.study}  draft {one.revision}  {one.draft}{told}{hand}"


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
