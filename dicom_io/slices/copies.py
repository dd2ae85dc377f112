"""Objects that share one SOP Instance UID: copies, or different images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

import numpy as np

from dicom_io.errors import DicomError
from dicom_io.slices.passes import SAME_POSITION_MM
from dicom_io.slices.pixels import Pixels
from dicom_io.slices.slices import Slice


@dataclass
class Copies:
    """Tells files that are copies of an earlier one: the same UID, and the same bytes."""

    _first: dict[str, Path] = field(default_factory=dict)
    _digests: dict[str, set[bytes]] = field(default_factory=dict)

    def is_copy(self, uid: str, path: Path) -> bool:
        """Whether a file with this UID and these bytes was asked for before."""
        if uid not in self._first:
            self._first[uid] = path
            return False
        digests = self._digests.setdefault(uid, {_digest(self._first[uid])})
        before = len(digests)
        digests.add(_digest(path))
        return len(digests) == before


def without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Separate slices that share the UID and the place of an earlier one.

    Returns
    -------
    list of Slice
        Each different slice once. Slices at different places are different, whatever their UID.
    list of Slice
        Those of another content than the one kept, which therefore contradict it. The same pixels
        in another encoding are a copy, and in neither list.
    """
    kept: dict[tuple[str, int | None], list[Slice]] = defaultdict(list)
    unique: list[Slice] = []
    contradicting: list[Slice] = []
    for one in slices:
        alike = kept[one.instance.sop_instance_uid, one.frame]
        there = [other for other in alike if _at_one_place(one, other)]
        if not there:
            unique.append(one)
            alike.append(one)
        elif not _same_pixels(one, there[0]):
            contradicting.append(one)
    return unique, contradicting


def _at_one_place(one: Slice, other: Slice) -> bool:
    return bool(np.abs(one.position - other.position).max() <= SAME_POSITION_MM)


def _same_pixels(one: Slice, other: Slice) -> bool:
    try:
        mine, its = map(Pixels().hu_of, (one, other))
    except DicomError:
        return False
    return np.array_equal(mine, its)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()
