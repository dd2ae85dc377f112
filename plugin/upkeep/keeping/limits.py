"""How long things are kept, and how much of the disk they may take."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

# Above the floor, under which every sender is refused: so many times it stays free at the high
# mark, and at the low one, on a disk so small that its percentages come near the floor
_FLOORS_AT_HIGH, _FLOORS_AT_LOW = 2, 3


@dataclass(frozen=True)
class Limit:
    """What one rule allows.

    Parameters
    ----------
    age : timedelta, optional
        Older is deleted; None: age alone deletes nothing.
    share : float
        Of the disk; what is above it is deleted, the oldest first. 1 deletes nothing.
    """

    age: timedelta | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Limits:
    """All rules; without an argument they delete nothing.

    Parameters
    ----------
    images, drafts, quarantine, orphans, rows : Limit
        Of delivered studies; of reports in the spool; of replaced copies of images; of damaged
        files; of all that the database knows of a study, whose files are gone.
    undrafted : Limit
        Images of studies without a draft; only their age counts.
    high, low : float
        Used parts of the disk: above the first one, images of delivered studies are deleted until
        it is down to the second.
    floor_bytes : int
        Free space under which senders are refused.
    audit : Limit
        Of entries of the audit trail; only their age counts.
    repositories : tuple of str
        That must have an entry before it goes.
    """

    images: Limit = field(default_factory=Limit)
    undrafted: Limit = field(default_factory=Limit)
    drafts: Limit = field(default_factory=Limit)
    quarantine: Limit = field(default_factory=Limit)
    orphans: Limit = field(default_factory=Limit)
    rows: Limit = field(default_factory=Limit)
    high: float = 1.0
    low: float = 1.0
    floor_bytes: int = 0
    audit: Limit = field(default_factory=Limit)
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disk:
    """The disk of the spool, in bytes.

    Parameters
    ----------
    total, free : int
        Whoever uses it.
    """

    total: int
    free: int

    @classmethod
    def of(cls, folder: Path) -> Disk:
        usage = shutil.disk_usage(folder)
        return cls(usage.total, usage.free)

    def above_high(self, limits: Limits) -> int:
        """Return what must be freed to come down to the low mark; 0 under the high one."""
        wanted = self._kept_free(limits.high, _FLOORS_AT_HIGH * limits.floor_bytes)
        if self.free >= wanted:
            return 0
        return self._kept_free(limits.low, _FLOORS_AT_LOW * limits.floor_bytes) - self.free

    def above_share(self, limit: Limit, taken: int) -> int:
        """Return what must be freed of something that takes so many bytes."""
        return max(0, math.ceil(taken - limit.share * self.total)) if limit.share < 1 else 0

    def _kept_free(self, used: float, at_least: int) -> int:
        return max(int((1 - used) * self.total), at_least if used < 1 else 0)
