"""`ctscribe models`: which models write, how one on trial compares, and what a bad one has left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import click

from dicom_io.counted import counted
from plugin.administration.models import (
    compared,
    comparison_to_dict,
    models_to_dict,
    promote_named,
)
from plugin.assembly import open_spool, passing_sessions
from plugin.commands.moments import moment
from plugin.console import say
from plugin.drafting.retraction import TakenBack
from plugin.feedback.bad_model import digest_like, retract_drafts, standing_drafts
from plugin.feedback.comparison import Comparison
from plugin.feedback.promotion import roll_back
from plugin.settings import Settings
from plugin.state.audit import this_person
from plugin.state.clock import now_by
from plugin.workplace import taking_notes


def print_models(settings: Settings, *, as_json: bool) -> None:
    """Print the models of the settings, and whose drafts the service has."""
    with passing_sessions(settings) as sessions:
        found = models_to_dict(settings, sessions)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name in found["models"]:
        say(f"{'* ' if name == found['current'] else '  '}{name}")
    for one in found["drafts"]:
        name, digest = one["model"] or "unknown", one["digest"] or ""
        drafts = counted(one["drafts"], "draft")
        say(f"{drafts} by {name}  {digest[:12]}  {one['retracted']} retracted")
    for one in found["shadows"]:
        say(f"{counted(one['drafts'], 'shadow draft')} by {one['model']}: {one['state']}")


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
    began = moment(since) if since else None
    with passing_sessions(settings) as sessions:
        found = compared(sessions, open_spool(settings), model, began)
    if as_json:
        click.echo(json.dumps(comparison_to_dict(found), indent=2))
        return
    _say_comparison(found, model)


def _say_comparison(found: Comparison, model: str) -> None:
    if found.words_alike is None:
        say(f"no study was drafted by {model} in the shadow yet")
        return
    same = f"{found.same_findings} with the same findings, {found.same_text} with the same text"
    studies = counted(found.pairs, "study", "studies")
    say(f"{studies}: {same}; {100 * found.words_alike:.0f} % of words alike (median)")
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


def change_model(settings: Settings, name: str | None) -> None:
    """Make a model the service's own, or with None the one before, and say so.

    Raises
    ------
    PluginError
        The settings have no such model, or it is the service's own already.
    """
    with passing_sessions(settings) as sessions:
        if name is None:
            back = roll_back(sessions, now_by(sessions), this_person())
            say(f"the service's model is {back} again")
            return
        before = promote_named(settings, sessions, name, this_person())
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
            number = len(standing_drafts(sessions, whole))
            say(f"{counted(number, 'draft')} of {whole} would be retracted")
            return
        notes, now = taking_notes(settings), now_by(sessions)
        taken = []
        for one in retract_drafts(sessions, open_spool(settings), whole, notes, this_person(), now):
            taken.append(one)
            if not as_json:
                say(_line(one))
    if as_json:
        rows = [{**asdict(one), "where": one.where._asdict()} for one in taken]
        click.echo(json.dumps({"digest": whole, "retracted": rows}, indent=2))
        return
    by_hand = sum(bool(one.where.by_hand) for one in taken)
    said = counted(len(taken), f"draft of {whole} is", f"drafts of {whole} are")
    say(f"{said} retracted; a person must remove {by_hand} of them")


def _line(one: TakenBack) -> str:
    told = f"; rejection note to {', '.join(one.where.told)}" if one.where.told else ""
    hand = f"; remove by hand at {', '.join(one.where.by_hand)}" if one.where.by_hand else ""
    return f"{one.study}  draft {one.revision}  {one.draft}{told}{hand}"
