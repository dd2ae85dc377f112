"""One series, several stacks: slices grouped by what they are, repeated positions separated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import GeometryError
from dicom_io.volume.slices import Slice, name_slices

ORIENTATION_TOLERANCE = np.deg2rad(0.5)
"""Angle up to which two slices count as parallel."""

SAME_POSITION_MM = 0.05
"""Distance along the normal up to which two slices count as lying at one position."""

# Neighbouring slabs of one acquisition share a few slices at their ends, passes share most
_OVERLAP = 0.1
# Distances vary by rounding, well under a twentieth; one in ten may be a gap or another protocol
_EVEN_SHARE, _EVEN = 0.9, 0.05

# what separates passes over the same positions, the most telling first
_PASSES: tuple[str, ...] = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "AcquisitionTime",
    "SeriesTime",
    "KVP",
    "SeriesDescription",
)


def split_stacks(slices: Sequence[Slice]) -> list[tuple[Slice, ...]]:
    """Separate what cannot be one volume, largest stack first.

    Slices of another orientation, size, spacing, kernel, stack or kind of image form stacks of
    their own, and so do reconstructions of another thickness over the same range. Where positions
    repeat (several acquisitions or phases), each pass becomes a stack; passes that nothing tells
    apart stay together, to be refused.
    """
    stacks = [
        stack
        for alike in _alike(slices)
        for group in _split_thicknesses(alike)
        for stack in _split_passes(group)
    ]
    return sorted(stacks, key=len, reverse=True)


def along_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Where each slice lies on the normal of the first, mm."""
    return np.array([one.position for one in slices]) @ slices[0].normal


def repeated_positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that share a position, a list for each position that is taken more than once."""
    places = along_normal(slices)
    order = np.argsort(places, kind="stable")
    starts = np.diff(places[order], prepend=-np.inf) > SAME_POSITION_MM
    found: list[list[Slice]] = []
    for k, begins in zip(order, starts, strict=True):
        if begins:
            found.append([])
        found[-1].append(slices[k])
    return [group for group in found if len(group) > 1]


def refuse_mixture(slices: Sequence[Slice]) -> None:
    """Raise GeometryError, naming the images, where slices of several kinds are mixed."""
    if not slices:
        raise GeometryError("no slice")
    groups = _alike(slices)
    if len(groups) > 1:
        parts = "; ".join(f"{name_slices(group)}: {_kind(group[0])}" for group in groups)
        raise GeometryError(f"{len(groups)} kinds of slices are mixed ({parts})")


def refuse_repeated_positions(slices: Sequence[Slice]) -> None:
    """Raise GeometryError, naming the images, where a position is taken more than once."""
    repeated = repeated_positions(slices)
    if not repeated:
        return
    first = repeated[0]
    at = ", ".join(f"{x:.2f}" for x in first[0].position)
    count = "one position is" if len(repeated) == 1 else f"{len(repeated)} positions are"
    raise GeometryError(
        f"{count} taken by several slices: {name_slices(first)} all lie at ({at}) mm"
    )


def _alike(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices grouped by orientation, size, spacing and labels."""
    groups: list[list[Slice]] = []
    group_of: dict[tuple[object, ...], list[Slice]] = {}  # most slices equal an earlier one exactly
    for one in slices:
        key = (one.labels, one.shape, one.pixel_spacing, id(one.row), id(one.column))
        group = group_of.get(key) or next((g for g in groups if _belongs(one, g[0])), None)
        if group is None:
            groups.append(group := [])
        group_of[key] = group
        group.append(one)
    return groups


def _kind(one: Slice) -> str:
    axes = "/".join(",".join(f"{x:.2f}" for x in axis) for axis in (one.row, one.column))
    rows, columns = one.shape
    pixel = "x".join(f"{mm:.3g}" for mm in one.pixel_spacing)
    labels = [label for label in one.labels if label]
    return ", ".join([f"orientation {axes}", f"{rows}x{columns} pixels of {pixel} mm", *labels])


def _belongs(one: Slice, to: Slice) -> bool:
    parallel = min(one.row @ to.row, one.column @ to.column) > np.cos(ORIENTATION_TOLERANCE)
    return bool(
        one.labels == to.labels
        and one.shape == to.shape
        and parallel
        and np.allclose(one.pixel_spacing, to.pixel_spacing, rtol=1e-3)
    )


def _split_thicknesses(group: list[Slice]) -> list[list[Slice]]:
    """Thin and thick reconstructions of one range, each even while both together are not.

    Thicknesses that follow one another along the stack are one protocol, and stay together.
    """
    parts = _partition(group, [one.thickness for one in group])
    if len(parts) == 1 or (_is_even(group) and not repeated_positions(group)):
        return [group]
    return parts if _share_a_range(parts) and all(map(_is_even, parts)) else [group]


def _is_even(slices: Sequence[Slice]) -> bool:
    """Whether all but a few distances between neighbouring positions are equal."""
    distances = np.diff(np.sort(along_normal(slices)))
    distances = distances[distances > SAME_POSITION_MM]
    if not len(distances):
        return False
    usual = np.median(distances)
    return bool((np.abs(distances - usual) <= _EVEN * usual).mean() >= _EVEN_SHARE)


def _share_a_range(parts: Sequence[Sequence[Slice]]) -> bool:
    """Whether the parts that follow each other along the stack overlap in more than their ends."""
    normal = parts[0][0].normal
    along = sorted(sorted(one.position @ normal for one in part) for part in parts)
    return all(
        min(lower[-1], upper[-1]) - upper[0] > _OVERLAP * (upper[-1] - upper[0])
        for lower, upper in pairwise(along)
    )


def _split_passes(group: list[Slice]) -> list[tuple[Slice, ...]]:
    repeated = repeated_positions(group)
    if not repeated:
        return [tuple(group)]
    extra = sum(len(there) - 1 for there in repeated)
    if extra <= _OVERLAP * len(group):
        return _by_turn(group)  # one acquisition continues another: they meet, or overlap
    passes = max(map(len, repeated))
    for keyword in _PASSES:
        parts = _partition(group, [str(one.attribute(keyword) or "") for one in group])
        if len(parts) == passes and not any(repeated_positions(part) for part in parts):
            return [tuple(part) for part in parts]
    by_turn = _by_turn(group)
    return by_turn if _is_numbered_by_pass(by_turn) else [tuple(group)]


def _is_numbered_by_pass(stacks: Sequence[Sequence[Slice]]) -> bool:
    """Whether numbers tell passes apart: one pass after the other, or position after position."""
    spans = [(min(numbers), max(numbers)) for numbers in map(_numbers, stacks)]
    if all(before[1] < after[0] for before, after in pairwise(spans)):
        return True
    return all(
        max(turn) - min(turn) < len(stacks) for turn in zip(*map(_numbers, stacks), strict=False)
    )


def _numbers(stack: Sequence[Slice]) -> list[int]:
    """The numbers of the slices in the order of their positions."""
    order = np.argsort(along_normal(stack))
    return [stack[k].number for k in order]


def _by_turn(group: list[Slice]) -> list[tuple[Slice, ...]]:
    """The first slice at each position by number, then the second, and so on."""
    turn: dict[int, int] = {}
    for there in repeated_positions(group):
        in_order = sorted(there, key=lambda one: one.number)
        turn |= {id(one): k for k, one in enumerate(in_order)}
    return [tuple(part) for part in _partition(group, [turn.get(id(one), 0) for one in group])]


def _partition(group: list[Slice], keys: Sequence[Hashable]) -> list[list[Slice]]:
    parts: dict[Hashable, list[Slice]] = defaultdict(list)
    for one, key in zip(group, keys, strict=True):
        parts[key].append(one)
    return list(parts.values())
