"""Phases of a series in 4D: as many slices at every position, and what tells which belong together.

What names a phase, or its times where they are apart, is told by `passes`. Here is what remains:
the order of the slices at each position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import DicomError
from dicom_io.slices.passes import FEWEST_OF_A_STACK, TIMES, at_positions, moment_of
from dicom_io.slices.pixels import Pixels
from dicom_io.slices.slices import Slice

# Every fourth pixel each way: their noise is hardly correlated, and phases show in them as well
_SPARSE = 4
# Straight and reversed order differ by so many standard errors where phases differ at all
_CERTAIN = 6.0

# What may order the slices of a position, the most likely first
_NUMBERS: tuple[Callable[[Slice], Any], ...] = (
    lambda one: one.number,
    lambda one: one.number_of("AcquisitionNumber"),
    lambda one: one.number_of("ContentTime"),
)

Phases = list[list[Slice]]
"""The slices of each position in the order of its phases."""


def split_phases(slices: Sequence[Slice]) -> list[tuple[Slice, ...]]:
    """Separate phases by the order of the slices at each position.

    Times are believed. Numbers may run up at one position and down at the next: the pixels tell,
    as neighbours of one phase are more alike than those of the opposite one. Where nothing tells,
    all stay together, to be refused.
    """
    positions = at_positions(slices)
    count = len(positions[0])
    alike = all(len(there) == count for there in positions)
    # fewer positions may be the images that watch a contrast agent arrive
    if count > 1 and alike and len(positions) >= FEWEST_OF_A_STACK:
        for ordered in (_by_time(positions), _by_number(positions)):
            if ordered is not None:
                return [tuple(phase) for phase in zip(*ordered, strict=True)]
    return [tuple(slices)]


def _by_time(positions: Phases) -> Phases | None:
    """The order in time, which runs one way everywhere."""
    for keyword in TIMES:
        moments = [[moment_of(one, keyword) for one in there] for there in positions]
        known = all(None not in there and len(set(there)) == len(there) for there in moments)
        if known:
            return [
                sorted(there, key=lambda one: moment_of(one, keyword) or 0.0) for there in positions
            ]
    return None


def _by_number(positions: Phases) -> Phases | None:
    """The order of the numbers, turned where the pixels say so; None where they do not tell."""
    pixels = Pixels()
    before: NDArray[np.float64] | None = None
    turned: Phases = []
    for there in _numbered(positions) or ():
        try:
            images = np.stack([pixels.hu_of(one)[::_SPARSE, ::_SPARSE] for one in there])
        except DicomError as error:
            if error.retryable:
                raise
            return None
        straighter = before is None or _straighter(before, images)
        if straighter is None:
            return None
        before = np.asarray(images if straighter else images[::-1], np.float64)
        turned.append(there if straighter else there[::-1])
    return turned or None


def _numbered(positions: Phases) -> Phases | None:
    """The order of the first numbers that differ at each position."""
    for number in _NUMBERS:
        found = [{number(one): one for one in there} for there in positions]
        known = all(None not in of and len(of) == len(positions[0]) for of in found)
        if known:
            return [[one for _, one in sorted(of.items())] for of in found]
    return None


def _straighter(before: NDArray[np.float64], images: NDArray[Any]) -> bool | None:
    """Whether (T, H, W) phases follow those of the neighbour in their order or reversed."""
    worse = np.abs(images[::-1] - before) - np.abs(images - before)
    error = worse.std() / np.sqrt(worse.size)
    return None if abs(worse.mean()) <= _CERTAIN * error else bool(worse.mean() > 0)
