"""Who read which report, when, and what that says of the reports that nobody read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from training.data.shards import write_atomically

SAMPLE = 60
"""Reports that are read in full: none with a leak means fewer than 49 of 1,000 (95 %)."""

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Reading:
    """A report that a person read in full.

    Parameters
    ----------
    study : str
        Its pseudonym.
    reviewer : str
    when : str
        ISO 8601, UTC.
    missed : int
        Identifiers in it that no rule had found.
    """

    study: str
    reviewer: str
    when: str
    missed: int


_LOG = TypeAdapter(list[Reading])


def read_log(work: Path) -> dict[str, Reading]:
    """Read the log of a working folder, by study; the last reading of each counts."""
    path = work / "read.json"
    log = _LOG.validate_json(path.read_bytes()) if path.exists() else []
    return {reading.study: reading for reading in log}


def write_log(work: Path, log: dict[str, Reading]) -> None:
    """Keep the log in a working folder."""
    path = work / "read.json"
    write_atomically(path, _LOG.dump_json(list(log.values()), indent=1).decode())
    path.chmod(0o600)


def sample(studies: Sequence[str], size: int = SAMPLE) -> list[str]:
    """Draw the reports that are to be read in full: pseudonyms are random, so the first are."""
    return sorted(studies)[:size]


def upper_bound(read: int, with_leak: int) -> float:
    """Share of reports that may hold a leak, with a confidence of 95 %.

    One-sided exact bound of a binomial share (Clopper and Pearson 1934); 1 where none was read.
    """
    if read == 0 or with_leak >= read:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        at_most = sum(
            math.comb(read, k) * share**k * (1 - share) ** (read - k) for k in range(with_leak + 1)
        )
        low, high = (share, high) if at_most > 1 - _CONFIDENCE else (low, share)
    return high


def summary(studies: Sequence[str], log: dict[str, Reading]) -> dict[str, Any]:
    """What the data card says of the reading."""
    readings = [log[study] for study in studies if study in log]
    drawn = [log[study] for study in sample(studies) if study in log]
    leaky = sum(reading.missed > 0 for reading in drawn)
    return {
        "reports": len(studies),
        "read_in_full": len(readings),
        "read_of_random_sample": len(drawn),
        "of_these_with_a_leak": leaky,
        "leaks_per_1000_at_most": math.ceil(1000 * upper_bound(len(drawn), leaky)),
        "reviewers": sorted({reading.reviewer for reading in readings}),
        "first": min((reading.when for reading in readings), default=None),
        "last": max((reading.when for reading in readings), default=None),
    }
