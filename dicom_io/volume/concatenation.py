"""Multi-frame objects that were cut into parts (concatenations, PS3.3 C.7.6.16.2.2.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from dicom_io.types import Instance
from dicom_io.values import whole_number


def missing_parts(instances: Iterable[Instance]) -> Iterator[str]:
    """A sentence for each concatenation that lacks parts.

    The number of parts is optional; without it the highest number of those that are there counts.
    """
    parts: dict[str, set[int]] = defaultdict(set)
    totals: dict[str, int] = defaultdict(int)
    for instance in instances:
        if uid := str(instance.header.get("ConcatenationUID") or ""):
            number = whole_number(instance.header, "InConcatenationNumber", 1)
            total = whole_number(instance.header, "InConcatenationTotalNumber", 0)
            parts[uid].add(number)
            totals[uid] = max(totals[uid], total, number)
    for uid, numbers in parts.items():
        if count := totals[uid] - len(numbers):
            have = "is" if count == 1 else "are"
            yield f"{count} of {totals[uid]} parts of a multi-frame object {have} missing"
