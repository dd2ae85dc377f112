"""The words of `ctscribe models`."""

from __future__ import annotations

from pathlib import Path

import click

from plugin.cli.options import config_option, json_option
from plugin.settings import load_settings


@click.group()
def models() -> None:
    """Try models out, change them, take drafts back."""


@models.command("list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List the models of the settings, and whose drafts there are.

    A star marks the service's own model. Digests are those of `ctscribe models retract`.
    """
    from plugin.commands.models import print_models

    print_models(load_settings(config), as_json=as_json)


@models.command()
@click.argument("name")
@click.option("--since", help="Drafts since this day (2026-11-21), or so long ago (7d, 12h, 30m).")
@config_option
@json_option
def compare(name: str, since: str | None, config: Path | None, as_json: bool) -> None:
    """Compare a model on trial with the current one, on the same studies.

    NAME is a table [[models]] with shadow = true. Findings and words are compared.
    """
    from plugin.commands.models import print_comparison

    print_comparison(load_settings(config), name, since, as_json=as_json)


@models.command()
@click.argument("name")
@config_option
def promote(name: str, config: Path | None) -> None:
    """Make a model the service's own.

    NAME is a table [[models]], or "[engine]". Workers finish what is in hand, and start again
    with it.
    """
    from plugin.commands.models import change_model

    change_model(load_settings(config), name)


@models.command()
@config_option
def rollback(config: Path | None) -> None:
    """Take the model before the latest promotion again."""
    from plugin.commands.models import change_model

    change_model(load_settings(config), None)


@models.command()
@click.argument("digest")
@click.option("--dry-run", is_flag=True, help="Only count the drafts.")
@config_option
@json_option
def retract(digest: str, dry_run: bool, config: Path | None, as_json: bool) -> None:
    """Take back every draft of a model that turned out bad.

    DIGEST is the model's, or its first 8 digits. Drafts that wait are not sent. Where destinations
    take rejection notes, delivered drafts are rejected; elsewhere a person must remove them.
    """
    from plugin.commands.models import retract_model

    retract_model(load_settings(config), digest, dry_run=dry_run, as_json=as_json)
