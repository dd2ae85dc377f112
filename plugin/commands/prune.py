"""`ctscribe prune`: delete what the settings say, or say what would be deleted."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

import click

from dicom_io.errors import PluginError

if TYPE_CHECKING:
    from plugin.state.database import SessionFactory
    from plugin.state.spool import Spool
    from plugin.upkeep.limits import Limits
    from plugin.upkeep.retention import Doomed

_WHAT = {
    "images": ("study loses its images", "studies lose their images"),
    "undrafted": ("study without a draft loses its images", "studies without a draft lose theirs"),
    "drafts": ("draft", "drafts"),
    "quarantine": ("replaced copy of an image", "replaced copies of images"),
    "orphans": ("damaged file", "damaged files"),
    "rows": ("study is forgotten", "studies are forgotten"),
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
    from plugin.state.clock import now_by
    from plugin.upkeep.retention import kept, plan, prune

    now = now_by(sessions)
    try:
        gone = (plan if dry_run else prune)(sessions, spool, limits, now)
    except OSError as error:
        raise PluginError(f"{error.filename} cannot be deleted: {error.strerror}") from error
    counts: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in gone:
        counts[one.rule, one.why].append(one.size)
    with sessions() as session:
        staying = kept(session, now)
    if dry_run:
        _leave_out(staying, gone)
    if as_json:
        rows = [
            {"rule": rule, "why": why, "count": len(sizes), "bytes": sum(sizes)}
            for (rule, why), sizes in counts.items()
        ]
        stays = [{"why": why, "studies": n, "bytes": size} for why, (n, size) in staying.items()]
        click.echo(json.dumps({"dry_run": dry_run, "deleted": rows, "kept": stays}, indent=2))
        return
    for (rule, why), sizes in counts.items():
        click.echo(f"{len(sizes)} {_WHAT[rule][len(sizes) != 1]}: {shown(sum(sizes))} ({why})")
    if not counts:
        click.echo("nothing is old enough, or takes too much of the disk")
    for why, (count, size) in staying.items():
        if count:
            studies = "study stays" if count == 1 else "studies stay"
            click.echo(f"{count} {studies}, {why}: {shown(size)}")
    if dry_run:
        click.echo("nothing was deleted: this was a dry run")


def _leave_out(staying: dict[str, tuple[int, int]], gone: list[Doomed]) -> None:
    """Leave out of what stays what would go: a dry run leaves it where it is."""
    from plugin.upkeep.candidates import UNDRAFTED

    count, size = staying[UNDRAFTED]
    going = [one.size for one in gone if one.rule == "undrafted"]
    staying[UNDRAFTED] = count - len(going), size - sum(going)


def shown(size: int) -> str:
    """Write a number of bytes for a person."""
    for unit, factor in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
