"""What is on the disk of the spool, what goes next, and what stays although it is old."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dicom_io.errors import PluginError
from plugin.state.clock import now_by
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.upkeep.keeping.candidates import UNDRAFTED
from plugin.upkeep.keeping.limits import Disk, Limits
from plugin.upkeep.keeping.retention import Doomed, kept, plan, prune, sizes


@dataclass(frozen=True)
class Pruning:
    """What is deleted, and what stays.

    Parameters
    ----------
    gone : dict of (str, str) to list of int
        Bytes of each thing, by the rule and the setting that says so.
    staying : dict of str to (int, int)
        Studies that keep their images whatever their age, and bytes, by the reason.
    """

    gone: dict[tuple[str, str], list[int]]
    staying: dict[str, tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        deleted = [
            {"rule": rule, "why": why, "count": len(taken), "bytes": sum(taken)}
            for (rule, why), taken in self.gone.items()
        ]
        stays = [{"why": why, "studies": n, "bytes": b} for why, (n, b) in self.staying.items()]
        return {"deleted": deleted, "kept": stays}


def pruning(sessions: SessionFactory, spool: Spool, limits: Limits, *, dry_run: bool) -> Pruning:
    """Delete what the limits no longer keep, or only say what would go.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    limits : Limits
        What is kept.
    dry_run : bool
        Whether nothing is deleted.

    Raises
    ------
    PluginError
        Some files cannot be deleted.
    """
    now = now_by(sessions)
    try:
        doomed = (plan if dry_run else prune)(sessions, spool, limits, now)
    except OSError as error:
        raise PluginError(f"{error.filename} cannot be deleted: {error.strerror}") from error
    gone: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for one in doomed:
        gone[one.rule, one.why].append(one.size)
    return Pruning(dict(gone), _staying(sessions, doomed if dry_run else [], now))


def disk_to_dict(sessions: SessionFactory, spool: Spool, limits: Limits) -> dict[str, Any]:
    """Return how full the disk is, what takes the space, and what would go next; see `pruning`."""
    disk = Disk.of(spool.root)
    return {
        "total_bytes": disk.total,
        "free_bytes": disk.free,
        "floor_bytes": limits.floor_bytes,
        "high_percent": round(100 * limits.high, 1),
        "low_percent": round(100 * limits.low, 1),
        "taken": [{"rule": k, "bytes": n} for k, n in sizes(sessions, spool).items()],
        "limits": _limits_to_list(limits),
        **pruning(sessions, spool, limits, dry_run=True).to_dict(),
    }


def _limits_to_list(limits: Limits) -> list[dict[str, Any]]:
    names = ("images", "undrafted", "drafts", "quarantine", "orphans", "rows")
    return [
        {
            "rule": name,
            "days": None if one.age is None else one.age.total_seconds() / 86400,
            "percent": round(100 * one.share, 1),
        }
        for name, one in ((name, getattr(limits, name)) for name in names)
    ]


def _staying(
    sessions: SessionFactory, going: list[Doomed], now: datetime
) -> dict[str, tuple[int, int]]:
    """Leave out of what stays what would go: a dry run leaves it where it is."""
    with sessions() as session:
        staying = kept(session, now)
    count, size = staying[UNDRAFTED]
    taken = [one.size for one in going if one.rule == "undrafted"]
    staying[UNDRAFTED] = count - len(taken), size - sum(taken)
    return staying
