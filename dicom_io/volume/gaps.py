"""Missing slices: found by the distances between those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import IncompleteSeries
from dicom_io.volume.slices import Slice

MOST_MISSING_TOGETHER = 2
MOST_MISSING_SHARE = 0.1
"""More missing slices than this, side by side or of the whole series, are not interpolated."""

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
    share = missing.sum() / (len(slices) + missing.sum())
    if gaps and (missing.max() > MOST_MISSING_TOGETHER or share > MOST_MISSING_SHARE):
        raise IncompleteSeries(
            f"{len(slices)} slices with gaps too large to interpolate: {'; '.join(gaps)}"
        )
    return tuple(f"{gap[0].upper()}{gap[1:]}; interpolated." for gap in gaps)


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
    return "1 slice is" if count == 1 else f"{count} slices are"


def _place(one: Slice) -> str:
    x, y, z = one.position
    return f"image {one.number} at ({x:.1f}, {y:.1f}, {z:.1f}) mm"
