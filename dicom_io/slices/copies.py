"""Images that are there more than once: copies under one UID or several, or different images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import file_digest, sha256
from itertools import product
from pathlib import Path

import numpy as np

from dicom_io.errors import DicomError
from dicom_io.slices.passes import SAME_POSITION_MM
from dicom_io.slices.pixels import Pixels
from dicom_io.slices.slices import Slice

# What a copy keeps when it is sent again under new UIDs and numbers, and two acquisitions or two
# phases of one seldom share: only what agrees in all of it is decoded and compared
_OF_AN_ACQUISITION = (
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "FrameAcquisitionNumber",
    "FrameAcquisitionDateTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
)
_NEIGHBOURS = sorted(product((-1, 0, 1), repeat=3), key=lambda step: sum(map(abs, step)))


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


def without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[Slice], list[Slice]]:
    """Separate slices that are there more than once.

    Slices at one place are compared decoded where they have one UID, or where nothing says that
    they are of two acquisitions. Slices at different places are different, whatever their UID.

    Returns
    -------
    list of Slice
        Each different slice once.
    list of Slice
        Copies of these: the same pixels in whatever encoding and under whatever UID, or a damaged
        state of a slice that can be read.
    list of Slice
        Those that contradict a slice that was kept: the same UID and place, and other pixels.

    Raises
    ------
    DecoderUnavailable
        Compressed images cannot be decoded now.
    """
    dropped: dict[int, bool] = {}  # whether it is a copy, by the id of the slice
    for there in _places(slices):
        if len(there) > 1:
            dropped |= _compared(there)
    copies = [one for one in slices if dropped.get(id(one)) is True]
    contradicting = [one for one in slices if dropped.get(id(one)) is False]
    return [one for one in slices if id(one) not in dropped], copies, contradicting


def _places(slices: Sequence[Slice]) -> Iterable[list[Slice]]:
    """Slices that lie at one place, a list for each place, in the order given.

    Space is cut into cells as wide as the tolerance: what lies in one cell, or in those around it,
    may lie at one place, and nothing else is compared.
    """
    cells: dict[tuple[int, ...], list[Slice]] = {}
    for one in slices:
        own = tuple(math.floor(x / SAME_POSITION_MM) for x in one.position.tolist())
        near = (tuple(map(sum, zip(own, step, strict=True))) for step in _NEIGHBOURS)
        found = (cells[cell] for cell in near if cell in cells)
        place = next((place for place in found if _at_one_place(one, place[0])), None)
        if place is None:
            place = cells.setdefault(own, [])
        place.append(one)
    return cells.values()


def _at_one_place(one: Slice, other: Slice) -> bool:
    return bool(np.abs(one.position - other.position).max() <= SAME_POSITION_MM)


def _compared(there: Sequence[Slice]) -> dict[int, bool]:
    """Of slices at one place those that are not kept, and whether each is a copy."""
    kept: list[_Seen] = []
    dropped: dict[int, bool] = {}
    for one in map(_Seen, there):
        rivals = [other for other in kept if one.uid == other.uid or one.kind == other.kind]
        if not rivals:
            kept.append(one)
        elif one.digest is None and all(other.digest is None for other in rivals):
            dropped |= {id(one.slice): False} if any(one.uid == r.uid for r in rivals) else {}
        elif one.digest is None or any(one.digest == other.digest for other in rivals):
            dropped[id(one.slice)] = True
        elif damaged := next((other for other in rivals if other.digest is None), None):
            kept[kept.index(damaged)] = one
            dropped[id(damaged.slice)] = True
        elif any(one.uid == other.uid for other in rivals):
            dropped[id(one.slice)] = False
        else:
            kept.append(one)
    return dropped


class _Seen:
    """A slice among others at its place; it is decoded only if it must be compared."""

    def __init__(self, one: Slice) -> None:
        self.slice = one
        self.uid = one.instance.sop_instance_uid, one.frame

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What copies have in common, whatever UIDs and numbers they were given."""
        one = self.slice
        axes = one.row.tobytes(), one.column.tobytes()
        return *axes, one.labels, one.shape, *map(one.text_of, _OF_AN_ACQUISITION)

    @cached_property
    def digest(self) -> bytes | None:
        """Of its HU; None where it cannot be decoded."""
        try:
            hu = Pixels().hu_of(self.slice)
        except DicomError as error:
            if error.retryable:
                raise
            return None
        return sha256(hu.astype(np.float64).tobytes()).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()
