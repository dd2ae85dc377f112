"""The words of `ctscribe rules`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from plugin.cli.options import config_option, json_option
from plugin.settings import load_settings


@click.group()
def rules() -> None:
    """Try out the rules of the settings."""


@rules.command()
@click.argument("study")
@click.option("--sender", default="", help="Judge files as if this AE title had sent them.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M"]),
    help="Judge files as if they had come at this minute, in local time.",
)
@config_option
@json_option
def test(study: str, sender: str, at: datetime | None, config: Path | None, as_json: bool) -> None:
    """Say what the rules decide of a study, and why, rule by rule.

    STUDY is a folder or file, or the accession number or Study Instance UID of a study that the
    service received. Nothing is changed.
    """
    from plugin.commands.administrator.rules import print_judgement

    print_judgement(load_settings(config), study, sender=sender, at=at, as_json=as_json)


@rules.command()
@click.option(
    "--settings",
    "new",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file with the rules to try.",
)
@click.option(
    "--since",
    default="7d",
    show_default=True,
    help="Studies that came since this day (2026-11-21), or so long ago (7d, 12h, 30m).",
)
@config_option
@json_option
def replay(new: Path, since: str, config: Path | None, as_json: bool) -> None:
    """Show what other rules would have done with past studies.

    Every study that would be treated otherwise is listed with both decisions. Nothing is changed.
    """
    from plugin.commands.administrator.rules import print_replay

    print_replay(load_settings(config), load_settings(new), since, as_json=as_json)
