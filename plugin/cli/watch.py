"""The words of the commands about alarms, the audit trail, and who was refused."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from plugin.cli.options import FILE, config_option, json_option
from plugin.console import say
from plugin.settings import load_settings

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.group()
def audit() -> None:
    """Look into the audit trail.

    It holds patients' identities: show it to nobody who may not see them.
    """


@audit.command("verify")
@click.option("--head", help="A hash that this command printed earlier. It must be in the trail.")
@config_option
@json_option
def audit_verify(config: Path | None, head: str | None, as_json: bool) -> None:
    """Check that no entry was changed or removed.

    The hash of the newest entry is printed. Keep it elsewhere: with --head it proves later that
    nothing before it was changed.
    """
    from plugin.commands.administrator.audit import print_verified, verify_trail

    found = verify_trail(load_settings(config), head)
    print_verified(found, as_json=as_json)
    sys.exit(1 if found.problem else 0)


@audit.command("export")
@click.option("-o", "--out", type=FILE, help="The file to write. Without it, to standard output.")
@click.option(
    "--form",
    type=click.Choice(["json", "dicom"]),
    default="json",
    show_default=True,
    help="One line an entry: as it is kept, with its hash, or as a DICOM audit message.",
)
@click.option("--since", type=_MOMENT, help="Entries from this day, or minute, on; local time.")
@click.option("--until", type=_MOMENT, help="Entries before this day, or minute; local time.")
@config_option
def audit_export(
    config: Path | None,
    out: Path | None,
    form: str,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write the audit trail as lines.

    That you did so becomes an entry of the trail.
    """
    from plugin.commands.administrator.audit import export_trail, write_lines

    lines = export_trail(
        load_settings(config),
        "dicom" if form == "dicom" else "json",
        since and since.astimezone(),
        until and until.astimezone(),
    )
    write_lines(lines, out)


@click.group()
def alarms() -> None:
    """See what wants a person, and try who is told."""


@alarms.command("list")
@click.option("--past", is_flag=True, help="Also those that are over, the latest 20 in all.")
@config_option
@json_option
def alarms_list(config: Path | None, past: bool, as_json: bool) -> None:
    """List the open alarms."""
    from plugin.commands.administrator.alarms import print_alarms

    print_alarms(load_settings(config), past=past, as_json=as_json)


@alarms.command("test")
@config_option
def alarms_test(config: Path | None) -> None:
    """Send a test to every channel of the settings."""
    from plugin.commands.administrator.alarms import try_channels

    tried = list(try_channels(load_settings(config)))
    for name, problem in tried:
        say(f"{name}: {problem or 'taken'}")
    if not tried:
        say("no channel: nobody is told of alarms (alarms.channels)")
    sys.exit(1 if any(problem for _, problem in tried) else 0)


@click.command()
@click.option(
    "--since",
    default="1d",
    show_default=True,
    help="Refused since this day (2026-11-21), or so long ago (7d, 12h, 30m).",
)
@config_option
@json_option
def refusals(since: str, config: Path | None, as_json: bool) -> None:
    """List the senders that were refused, and why."""
    from plugin.commands.administrator.refusals import print_refusals

    print_refusals(load_settings(config), since, as_json=as_json)


COMMANDS = (audit, alarms, refusals)
