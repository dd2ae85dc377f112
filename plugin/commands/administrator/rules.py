"""`ctscribe rules`: why a study is treated as it is, and what other rules would have done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicom_io.counted import counted
from dicom_io.errors import PluginError
from plugin.administration.replay import latest_seen, replay
from plugin.assembly import open_spool, passing_sessions
from plugin.commands.moments import moment
from plugin.console import say
from plugin.drafting.wanted.judging import Seen
from plugin.reception.intake import is_document
from plugin.rules.decision import Judgement
from plugin.rules.facts import Arrived
from plugin.rules.rules import Rules
from plugin.settings import Settings


def print_judgement(
    settings: Settings, wanted: str, *, sender: str, at: datetime | None, as_json: bool
) -> None:
    """Print what the rules of the settings decide of a study, rule by rule.

    Parameters
    ----------
    settings : Settings
        With the rules.
    wanted : str
        A folder or file, or the accession number or Study Instance UID of a study that arrived.
    sender : str
        AE title that files are judged as if they came from.
    at : datetime, optional
        When they are judged as if they came; by default now.
    as_json : bool
        Whether one JSON object is printed in place of lines.

    Raises
    ------
    PluginError
        There is no such study, or the folder holds no image.
    """
    if Path(wanted).exists():
        when = (at or datetime.now()).astimezone()
        seen = Seen(Arrived(when, sender), tuple(_series_in(Path(wanted))))
        if not seen.series:
            raise PluginError(f"{wanted} holds no DICOM image")
    else:
        with passing_sessions(settings) as sessions:
            seen = latest_seen(sessions, open_spool(settings), wanted)
    judged = seen.judge(Rules(settings.rules))
    if as_json:
        click.echo(json.dumps(_as_dict(judged), indent=2))
        return
    for step in judged.steps:
        say(f"{'met    ' if step.met else 'not met'}  {step.rule}: {step.why}")
    say(str(judged.decision))


def print_replay(settings: Settings, new: Settings, since: str, *, as_json: bool) -> None:
    """Print what other rules would have decided of the studies that arrived.

    Parameters
    ----------
    settings : Settings
        Of the service: its database and spool, and the rules where a study was not judged.
    new : Settings
        With the rules to try.
    since : str
        A day (2026-11-21), or how long ago: 7d, 12h or 30m.
    as_json : bool
        Whether one JSON object is printed in place of a table.
    """
    rules = Rules(settings.rules), Rules(new.rules)
    with passing_sessions(settings) as sessions:
        found = replay(sessions, open_spool(settings), rules, moment(since))
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
        return
    for one in found.changed:
        say(f"{one.opened:%Y-%m-%d %H:%M}  {one.study}  {one.sender or '-'}")
        say(f"    now: {one.before}\n    new: {one.after}")
    say(f"{len(found.changed)} of {counted(found.judged, 'draft')} would be decided otherwise")
    if found.gone:
        say(f"{found.gone} more cannot be told: their images were deleted")


def _series_in(path: Path) -> Iterable[tuple[Dataset, int]]:
    """The first header of each series of images in some files, and how many it has."""
    first: dict[str, Dataset] = {}
    counts: dict[str, int] = {}
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        header = _header(file)
        if header is None or is_document(str(header.get("SOPClassUID", ""))):
            continue
        uid = str(header.get("SeriesInstanceUID", ""))
        first.setdefault(uid, header)
        counts[uid] = counts.get(uid, 0) + 1
    return [(header, counts[uid]) for uid, header in first.items()]


def _header(file: Path) -> Dataset | None:
    if not file.is_file():
        return None
    try:
        return dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, EOFError, ValueError):
        return None


def _as_dict(judged: Judgement) -> dict[str, Any]:
    steps: Sequence[dict[str, Any]] = [
        {"rule": one.rule, "met": one.met, "why": one.why} for one in judged.steps
    ]
    decision = {"draft": True, **judged.decision.kept(), "urgency": judged.decision.urgency.word}
    return {"steps": steps, "decision": decision}
