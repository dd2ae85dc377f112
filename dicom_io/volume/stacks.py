"""One series, several stacks: planes grouped by what they are, repeated positions separated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import GeometryError
from dicom_io.volume.slices import Slice, name_slices

ORIENTATION_TOLERANCE = np.deg2rad(0.5)
"""Angle up to which two planes count as parallel."""

SAME_POSITION_MM = 0.05
"""Distance along the normal up to which two planes count as lying at one position."""

_OVERLAP = 0.1
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

    Planes of another orientation, size, spacing, kernel, stack or kind of image form stacks of
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
    """Where each plane lies on the normal of the first, mm."""
    normal = slices[0].normal
    return np.array([plane.position @ normal for plane in slices])


def repeated_positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Planes that share a position, a list for each position that is taken more than once."""
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
    """Raise GeometryError, naming the images, where planes of several kinds are mixed."""
    if not slices:
        raise GeometryError("no image plane")
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
    """Planes grouped by orientation, size, spacing and labels."""
    groups: list[list[Slice]] = []
    for plane in slices:
        group = next((g for g in groups if _belongs(plane, g[0])), None)
        if group is None:
            groups.append([plane])
        else:
            group.append(plane)
    return groups


def _kind(plane: Slice) -> str:
    axes = "/".join(",".join(f"{x:.2f}" for x in axis) for axis in (plane.row, plane.column))
    rows, columns = plane.shape
    pixel = "x".join(f"{mm:.3g}" for mm in plane.pixel_spacing)
    labels = [value for value in plane.labels.values() if value]
    return ", ".join([f"orientation {axes}", f"{rows}x{columns} pixels of {pixel} mm", *labels])


def _belongs(plane: Slice, to: Slice) -> bool:
    parallel = min(plane.row @ to.row, plane.column @ to.column) > np.cos(ORIENTATION_TOLERANCE)
    return bool(
        plane.labels == to.labels
        and plane.shape == to.shape
        and parallel
        and np.allclose(plane.pixel_spacing, to.pixel_spacing, rtol=1e-3)
    )


def _split_thicknesses(group: list[Slice]) -> list[list[Slice]]:
    """Thin and thick reconstructions of one range, each even while both together are not.

    Thicknesses that follow one another along the stack are one protocol, and stay together.
    """
    parts = _partition(group, [str(plane.thickness) for plane in group])
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
    along = sorted(sorted(plane.position @ normal for plane in part) for part in parts)
    return all(
        min(lower[-1], upper[-1]) - upper[0] > _OVERLAP * (upper[-1] - upper[0])
        for lower, upper in pairwise(along)
    )


def _split_passes(group: list[Slice]) -> list[tuple[Slice, ...]]:
    repeated = repeated_positions(group)
    if not repeated:
        return [tuple(group)]
    extra = sum(len(planes) - 1 for planes in repeated)
    if extra <= _OVERLAP * len(group):
        return _by_turn(group)  # one acquisition continues another: they meet, or overlap
    passes = max(len(planes) for planes in repeated)
    for keyword in _PASSES:
        parts = _partition(group, [str(plane.attribute(keyword) or "") for plane in group])
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
    """The numbers of the planes in the order of their positions."""
    order = np.argsort(along_normal(stack))
    return [stack[k].number for k in order]


def _by_turn(group: list[Slice]) -> list[tuple[Slice, ...]]:
    """The first plane at each position by number, then the second, and so on."""
    turn: dict[int, int] = {}
    for planes in repeated_positions(group):
        in_order = sorted(planes, key=lambda plane: plane.number)
        turn |= {id(plane): k for k, plane in enumerate(in_order)}
    return [tuple(part) for part in _partition(group, [turn.get(id(p), 0) for p in group])]


def _partition(group: list[Slice], keys: Sequence[str | int]) -> list[list[Slice]]:
    parts: dict[str | int, list[Slice]] = defaultdict(list)
    for plane, key in zip(group, keys, strict=True):
        parts[key].append(plane)
    return list(parts.values())
