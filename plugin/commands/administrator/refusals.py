"""Senders that were refused, on the terminal."""

from __future__ import annotations

import json

import click

from dicom_io.counted import counted
from plugin.administration.refusals import refusals
from plugin.assembly import passing_sessions
from plugin.commands.moments import moment
from plugin.console import say
from plugin.settings import Settings

REASONS = {
    "UnknownSender": "its AE title is not in the allow-list",
    "UnknownAddress": "its address is not in the allow-list",
    "NoTls": "it does not speak the TLS that is wanted",
    "CutOff": "the line was cut in the middle of an instance",
    "StoreFull": "there was too little space, or the database was away",
    "MissingAttribute": "an instance lacks what it must have",
    "DataSetMismatch": "an instance is not what was announced",
    "DamagedFile": "an instance is damaged",
}
"""What each kept reason means; the page of refused senders says the same."""


def print_refusals(settings: Settings, since: str, *, as_json: bool) -> None:
    """List who was refused, the latest first.

    Parameters
    ----------
    settings : Settings
        Of the service.
    since : str
        A day, or how long ago.
    as_json : bool
        Whether one JSON object is printed in place of lines.
    """
    with passing_sessions(settings) as sessions:
        found = refusals(sessions, moment(since))
    if as_json:
        click.echo(json.dumps({"refusals": found}, indent=2, default=lambda at: at.isoformat()))
        return
    if not found:
        say("no sender was refused")
    for one in found:
        last = one["last_at"].astimezone().isoformat(" ", "seconds")
        who = f"{one['sender'] or 'no AE title'} at {one['address'] or 'several addresses'}"
        why = REASONS.get(one["reason"], one["reason"])
        say(f"{last}  {who}  {counted(one['count'], 'time')}: {why}")
