"""`ctscribe prune`: delete what the settings say, or say what would be deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from plugin.state.database import SessionFactory
    from plugin.state.files.spool import Spool
    from plugin.upkeep.keeping.limits import Limits

_WHAT = {
    "images": ("study loses its images", "studies lose their images"),
    "undrafted": ("study without a draft loses its images", "studies without a draft lose theirs"),
    "drafts": ("draft", "drafts"),
    "quarantine": ("replaced copy of an image", "replaced copies of images"),
    "orphans": ("damaged file", "damaged files"),
    "rows": ("study is forgotten", "studies are forgotten"),
    "audit": ("part of the audit trail goes to a file", "parts of the audit trail go to files"),
}
# Powers of ten, as disks are sold
_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def print_pruning(
    sessions: SessionFactory, spool: Spool, limits: Limits, *, dry_run: bool, as_json: bool
) -> None:
    """Prune, and print what went and what stays although it is old.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    limits : Limits
        What is kept.
    dry_run : bool
        Whether nothing is deleted.
    as_json : bool
        Whether one JSON object is printed.

    Raises
    ------
    PluginError
        Some files cannot be deleted.
    """
    from plugin.administration.disk import pruning

    found = pruning(sessions, spool, limits, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **found.to_dict()}, indent=2))
        return
    for (rule, why), sizes in found.gone.items():
        click.echo(f"{len(sizes)} {_WHAT[rule][len(sizes) != 1]}: {shown(sum(sizes))} ({why})")
    if not found.gone:
        click.echo("nothing is old enough, or takes too much of the disk")
    for why, (count, size) in found.staying.items():
        if count:
            studies = "study stays" if count == 1 else "studies stay"
            click.echo(f"{count} {studies}, {why}: {shown(size)}")
    if dry_run:
        click.echo("nothing was deleted: this was a dry run")


def shown(size: int) -> str:
    """Write a number of bytes for a person."""
    for unit, factor in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
