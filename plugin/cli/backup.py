"""The words of the commands that save the service's state, and put it back."""

from __future__ import annotations

from pathlib import Path

import click

from dicom_io.counted import counted
from plugin.cli.options import FOLDER, config_option
from plugin.console import say
from plugin.settings import load_settings


@click.command()
@click.argument("target", type=FOLDER)
@click.option(
    "--base",
    type=FOLDER,
    help="An earlier backup on the same disk. Files that are in it are linked, not copied.",
)
@config_option
def backup(target: Path, base: Path | None, config: Path | None) -> None:
    """Save the whole state into a folder, while the service runs.

    TARGET is a new or empty folder. All that was acknowledged before the command began is in it.
    """
    from plugin.upkeep.backup import back_up

    storage = load_settings(config).storage
    made = back_up(storage.database_url, storage.spool, target, base)
    say(f"{target}: the database, and {counted(made.files, 'file')} of {made.bytes / 1e6:.1f} MB")


@click.command()
@click.argument("source", type=FOLDER)
@config_option
def restore(source: Path, config: Path | None) -> None:
    """Put a backup into an empty spool and an empty database.

    SOURCE is a folder that `ctscribe backup` wrote. The settings name where the state goes.
    """
    from plugin.upkeep.restore import restore as put_back

    storage = load_settings(config).storage
    made = put_back(source, storage.database_url, storage.spool)
    files = counted(made.files, "file")
    say(f"{storage.spool}: {files}, and the database as it was at {made.begun}")
