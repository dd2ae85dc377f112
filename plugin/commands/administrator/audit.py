"""The audit trail: whether it is unbroken, and what stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from dicom_io.counted import counted
from plugin.assembly import open_sessions
from plugin.console import say
from plugin.housekeeping import source_of
from plugin.settings import Settings
from plugin.state import audit
from plugin.state.audit import Action, Entry, this_person
from plugin.state.database import require_database
from plugin.state.files.private import make_private_file
from plugin.upkeep.audit.message import audit_message
from plugin.upkeep.audit.trail import Verified, line_of, rows, verify

Form = Literal["json", "dicom"]


def verify_trail(settings: Settings, head: str | None) -> Verified:
    """Read the whole trail, and compare it with its hashes; see `plugin.upkeep.audit.trail`."""
    require_database(settings.storage.database_url)
    with open_sessions(settings)() as session:
        return verify(session, head, settings.storage.spool)


def export_trail(
    settings: Settings, form: Form, since: datetime | None, until: datetime | None
) -> Iterator[str]:
    """Yield entries as lines; that somebody read the trail is an entry, too, and comes first.

    Parameters
    ----------
    settings : Settings
        Of the service.
    form : str
        json: as they are kept, with their hashes. dicom: as audit messages.
    since, until : datetime, optional
        The first moment that counts, and the first that does not.
    """
    require_database(settings.storage.database_url)
    sessions, source, now = open_sessions(settings), source_of(settings), datetime.now(UTC)
    with sessions.begin() as session:
        entry = Entry(action=Action.TRAIL_READ, who=this_person(), detail=f"export as {form}")
        audit.record(session, entry, now=now)
    with sessions() as session:
        for row in rows(session, since, until):
            yield line_of(row) if form == "json" else audit_message(row.entry, row.time, source)


def print_verified(found: Verified, *, as_json: bool) -> None:
    """Say whether the trail is unbroken."""
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    entries = counted(found.entries, "entry", "entries")
    if found.problem is not None:
        say(f"BROKEN after {entries}: {found.problem}")
        return
    cut = f"; the first {found.cut} were cut, {found.read} of them read again" if found.cut else ""
    say(f"{entries}, unbroken{cut}; newest hash {found.head}")


def write_lines(lines: Iterator[str], out: Path | None) -> None:
    """Write lines to a file for its owner alone, or to standard output."""
    if out is None:
        for line in lines:
            click.echo(line)
        return
    make_private_file(out)
    with out.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
