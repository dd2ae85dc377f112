"""Missing slices: found by the distances between those that are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from dicom_io.counted import counted
from dicom_io.errors import IncompleteSeries
from dicom_io.slices.slices import Slice

MOST_MISSING_TOGETHER = 2
MOST_MISSING_SHARE = 0.1
"""More missing slices than this, side by side or of the whole series, are not interpolated."""

ENOUGH_AROUND_ONE = 7
"""Of a series of so many slices one more may be missing, although that is more than its share."""

# Positions are rounded to hundredths of a millimetre: equal distances differ by less than 5 %
_EQUAL = 0.05
# A distance within a fifth of a whole multiple of the usual one is slices that are missing
_WHOLE = 0.2
# Two equal distances side by side may be two gaps, three are a protocol
_REGULAR_RUN = 3


def missing_slices(slices: Sequence[Slice], places_mm: NDArray[np.float64]) -> tuple[str, ...]:
    """Find gaps in sorted slices.

    A gap is a distance of two or three of the usual distances around it, or anything larger. Three
    or more equal distances in a row are a protocol with two slice distances, not gaps, unless the
    numbers of the images jump there.

    Returns
    -------
    tuple of str
        One sentence for each gap that may be interpolated.

    Raises
    ------
    IncompleteSeries
        Too many slices are missing; the message names the positions.
    """
    distances = np.diff(places_mm)
    missing = _missing(distances, np.array([one.number for one in slices]))
    gaps = [
        f"{_slices(count)} missing between {_place(slices[k])} and {_place(slices[k + 1])}"
        for k, count in enumerate(missing)
        if count
    ]
    lost = missing.sum()
    alone = lost == 1 and len(slices) >= ENOUGH_AROUND_ONE
    too_many = not alone and lost / (len(slices) + lost) > MOST_MISSING_SHARE
    if gaps and (missing.max() > MOST_MISSING_TOGETHER or too_many):
        raise IncompleteSeries(
            f"{len(slices)} slices with gaps too large to interpolate: {'; '.join(gaps)}"
        )
    return tuple(f"{gap[0].upper()}{gap[1:]}; interpolated." for gap in gaps)


def separate_ranges(slices: Sequence[Slice], numbers: Collection[int]) -> list[tuple[Slice, ...]]:
    """Separate ranges that lie apart by intent: hip, knee and ankle in one series.

    Parameters
    ----------
    slices : sequence of Slice
        One pass, in any order.
    numbers : collection of int
        Of every slice of the series. Where one is missing, a gap is a loss and separates nothing.
    """
    places = np.array([one.position for one in slices]) @ slices[0].normal
    order = np.argsort(places, kind="stable")
    in_order = [slices[k] for k in order]
    distances = np.diff(places[order])
    if len(slices) < 3 or not distances.all() or not _all_numbered(in_order, numbers):
        return [tuple(slices)]
    missing = _missing(distances, np.array([one.number for one in in_order]))
    ends = [0, *(np.flatnonzero(missing > MOST_MISSING_TOGETHER) + 1), len(slices)]
    return [tuple(in_order[begin:end]) for begin, end in pairwise(ends)]


def _all_numbered(slices: Sequence[Slice], numbers: Collection[int]) -> bool:
    """Whether no number is missing between the first and the last, of each acquisition at least."""
    if len({one.number for one in slices}) == len(slices):
        low, high = min(one.number for one in slices), max(one.number for one in slices)
        return sum(low <= number <= high for number in numbers) == high - low + 1
    parts: dict[str, set[int]] = defaultdict(set)
    for one in slices:
        parts[str(one.attribute("AcquisitionNumber"))].add(one.number)
    whole = all(max(part) - min(part) + 1 == len(part) for part in parts.values())
    return whole and sum(map(len, parts.values())) == len(slices)


def _missing(distances: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many slices are missing in each distance."""
    regular = _regular(distances, numbers)
    usual = np.median(distances)
    known = np.flatnonzero(regular)
    missing = np.zeros(len(distances), np.int64)
    for k in np.flatnonzero(~regular):
        around = [*known[known < k][-1:], *known[known > k][:1]]
        expected = max(distances[around]) if around else usual
        ratio = distances[k] / expected
        # beyond the whole multiples that may be interpolated, and half a slice more: any distance
        hole = ratio > MOST_MISSING_TOGETHER + 1.5
        if hole or (ratio > 1.5 and abs(ratio - round(ratio)) < _WHOLE):
            missing[k] = round(ratio) - 1
    return missing


def _regular(distances: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which distances belong to the protocol: the usual one, and runs of equal ones."""
    usual = np.median(distances)
    regular = np.abs(distances - usual) <= _EQUAL * usual
    steps = np.abs(np.diff(numbers))
    consecutive = steps == 1
    if consecutive.mean() < 0.5:
        consecutive[:] = True  # the numbers do not follow the positions and say nothing
    for run in _runs(distances):
        if len(run) >= _REGULAR_RUN and consecutive[run].all():
            regular[run] = True
    return regular


def _runs(distances: NDArray[np.float64]) -> list[list[int]]:
    """Indices of neighbouring distances that are equal."""
    changes = np.abs(np.diff(distances)) > _EQUAL * distances[:-1]
    label = np.concatenate([[0], np.cumsum(changes)])
    return [list(run) for _, run in groupby(range(len(distances)), key=lambda k: label[k])]


def _slices(count: int) -> str:
    return counted(count, "slice is", "slices are")


def _place(one: Slice) -> str:
    x, y, z = one.position
    return f"image {one.number} at ({x:.1f}, {y:.1f}, {z:.1f}) mm"
