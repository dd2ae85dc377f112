"""`ctscribe feedback`: signed reports are fetched, compared with drafts, and taught from."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import click

from dicom_io.counted import counted
from dicom_io.errors import ConfigurationError, PluginError, UnusableData
from plugin.administration.other_packages import brought
from plugin.assembly import open_spool, passing_sessions
from plugin.commands.moments import moment
from plugin.console import say
from plugin.endpoints import archive_of
from plugin.feedback.agreement import KINDS, Month
from plugin.feedback.signed import (
    FILES,
    READING_ROOM,
    Find,
    accepted_here,
    in_archive,
    keep,
    months,
    waiting,
)
from plugin.feedback.signed import signed_texts as texts_of
from plugin.sections.destinations import ArchiveDestination
from plugin.settings import Settings
from plugin.state.clock import now_by
from plugin.state.database import SessionFactory
from plugin.state.files.private import make_private

# Most of a table on a page; the rest stands in the CSV file
_MOST_FINDINGS = 12


@dataclass(frozen=True)
class Source:
    """Where signed reports are: an archive of the settings, files, or the reading room."""

    archive: str | None = None
    reports: Path | None = None
    time_format: str | None = None

    @property
    def name(self) -> str:
        """How it is kept beside a report."""
        return self.archive or (FILES if self.reports else READING_ROOM)


def fetch_signed(
    settings: Settings, source: Source, since: str | None, after: str, *, as_json: bool
) -> None:
    """Look for the signed report of each draft, and say how many were found.

    Parameters
    ----------
    settings : Settings
        Of the service.
    source : Source
        Where reports are.
    since, after : str
        Which drafts: not older, and not younger.
    as_json : bool
        Whether one JSON object is printed.

    Raises
    ------
    ConfigurationError
        The settings have no such archive.
    PeerUnreachable, AssociationRejected
        It does not answer, or refuses; what was found so far is kept.
    """
    read = brought("ctscribe.findings", "reader")
    found, lacking = 0, Counter[str]()
    with passing_sessions(settings) as sessions:
        find = _finder(settings, source, sessions)
        drafts = waiting(
            sessions, open_spool(settings), moment(since) if since else None, moment(after)
        )
        for drafted in drafts:
            try:
                signed = find(drafted)
            except UnusableData as error:
                lacking[str(error)] += 1
                continue
            keep(sessions, drafted, signed, source.name, read, now_by(sessions))
            found += 1
    if as_json:
        click.echo(json.dumps({"found": found, "not_yet": dict(lacking)}, indent=2))
        return
    say(f"{counted(found, 'signed report')} found, {counted(lacking.total(), 'draft')} without one")
    for reason, count in lacking.most_common():
        say(f"  {count} × {reason}")


def print_months(
    settings: Settings,
    since: str | None,
    html: Path | None,
    table: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print agreement by model and month; write it as a page or as a table, too.

    Parameters
    ----------
    settings : Settings
        Of the service.
    since : str, optional
        Which drafts.
    html, table : Path, optional
        Files for a page, and for a table in CSV.
    as_json : bool
        Whether one JSON object is printed.
    """
    with passing_sessions(settings) as sessions:
        found = months(sessions, moment(since) if since else None)
    if html:
        html.write_text(page(found), "utf-8")
    if table:
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(_rows(found))
    if as_json:
        click.echo(json.dumps({"months": [_plain(one) for one in found]}, indent=2))
        return
    say(f"{'month':8} {'model':24} {'drafts':>7} {'signed':>7} {'same':>6}" + _heads())
    for one in found:
        counted = "".join(f"{one.count(kind):>9}" for kind in KINDS)
        say(
            f"{one.month:8} {one.model[:24]:24} {one.drafts:>7} {one.compared:>7} "
            f"{one.unchanged:>6}{counted}"
        )


def prepare_pairs(settings: Settings, out: Path, options: Sequence[str]) -> None:
    """Run `ctscribe prepare site` on the spool, with the signed reports as its table.

    Parameters
    ----------
    settings : Settings
        Of the service.
    out : Path
        Of the training set.
    options : sequence of str
        Of that command.

    Raises
    ------
    PluginError
        No signed report is known, or training is not installed.
    """
    with passing_sessions(settings) as sessions:
        rows = list(texts_of(sessions))
    if not rows:
        raise PluginError("no signed report is known yet: run `ctscribe feedback fetch`")
    work = out.with_name(f"{out.name}.private")
    make_private(work)
    path = work / "signed.csv"
    path.touch(mode=0o600)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["accession", "text", "status"])
        writer.writeheader()
        writer.writerows(rows)
    command: click.Group = brought("ctscribe.commands", "prepare")
    spool = str(settings.storage.spool / "instances")
    arguments = ["site", spool, str(out), "--reports", str(path), *options]
    command.main(arguments, prog_name="ctscribe prepare", standalone_mode=False)


def page(found: Sequence[Month]) -> str:
    """The sums as a page that needs nothing else."""
    sections = "".join(_section(one) for one in reversed(found)) or "<p>No draft yet.</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        "<title>Drafts against signed reports</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
        "padding:0 1rem;color:#1c2430}table{border-collapse:collapse;margin:.5rem 0 2rem}"
        "th,td{padding:.3rem .9rem;border-bottom:1px solid #d4dae2;text-align:right}"
        "th:first-child,td:first-child{text-align:left}caption{text-align:left}"
        "h2{margin-top:2.5rem}.few{color:#5b6675}</style>"
        "<h1>Drafts against signed reports</h1>"
        "<p>Findings that a draft and the signed report assert alike <b>agree</b>. With another "
        "side or size they were <b>changed</b>. What only the draft asserts was <b>invented</b>; "
        "what "
        "only the signed report asserts was <b>missed</b>. A program reads both texts and makes "
        "mistakes of its own.</p>" + sections + "</html>\n"
    )


def _section(one: Month) -> str:
    share = f"{100 * one.unchanged / one.compared:.0f} %" if one.compared else "none"
    names = Counter[str]()
    for kind in KINDS:
        names.update(one.findings[kind])
    shown = names.most_common(_MOST_FINDINGS)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{one.findings[kind][name]}</td>" for kind in KINDS)
        + "</tr>"
        for name, _ in shown
    )
    total = "".join(f"<th>{one.count(kind)}</th>" for kind in KINDS)
    heads = "".join(f"<th>{kind}</th>" for kind in KINDS)
    left = len(names) - len(shown)
    rarer = counted(left, "rarer finding is", "rarer findings are")
    more = f'<p class="few">{rarer} left out here.</p>' if left > 0 else ""
    return (
        f"<h2>{escape(one.month)}: {escape(one.model)}</h2>"
        f"<p>{counted(one.drafts, 'draft')}; the signed report of {one.compared} is known; {share} "
        f"of these have the same findings.</p><table><tr><th>finding</th>{heads}</tr>{rows}"
        f"<tr><th>all</th>{total}</tr></table>{more}"
    )


def _finder(settings: Settings, source: Source, sessions: SessionFactory) -> Find:
    if source.name == READING_ROOM:
        return accepted_here(sessions)
    if source.reports is not None:
        find = brought("ctscribe.reports", "files")(source.reports, source.time_format)
        return lambda drafted: str(find(drafted.accession_number, drafted.patient_id))
    archives = [one for one in settings.destinations if isinstance(one, ArchiveDestination)]
    chosen = next((one for one in archives if one.name == source.archive), None)
    if chosen is None:
        named = ", ".join(one.name for one in archives) or "none"
        raise ConfigurationError(
            f"no archive is called {source.archive}; the settings have {named}"
        )
    return in_archive(archive_of(chosen), brought("ctscribe.reports", "objects"))


def _heads() -> str:
    return "".join(f"{kind:>9}" for kind in KINDS)


def _plain(one: Month) -> dict[str, Any]:
    counted = {kind: dict(one.findings[kind]) for kind in KINDS}
    return {
        "model": one.model,
        "month": one.month,
        "drafts": one.drafts,
        "signed": one.compared,
        "same_findings": one.unchanged,
        **counted,
    }


def _rows(found: Sequence[Month]) -> Iterator[Sequence[object]]:
    yield ("month", "model", "drafts", "signed", "same findings", "finding", *KINDS)
    for one in found:
        head = one.month, one.model, one.drafts, one.compared, one.unchanged
        names = sorted({name for kind in KINDS for name in one.findings[kind]})
        for name in names or [""]:
            yield (*head, name, *(one.findings[kind][name] for kind in KINDS))
