"""One series, several stacks: slices grouped by what they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicom_io.errors import GeometryError
from dicom_io.slices.gaps import separate_ranges
from dicom_io.slices.passes import repeated_positions, split_passes
from dicom_io.slices.phases import split_phases
from dicom_io.slices.slices import Slice, name_slices

ORIENTATION_TOLERANCE = np.deg2rad(0.5)
"""Angle up to which two slices count as parallel."""


def split_stacks(slices: Sequence[Slice]) -> list[tuple[Slice, ...]]:
    """Separate what cannot be one volume, largest stack first.

    Slices of another orientation, size, spacing, kernel, energy, unit, stack or kind of image
    form stacks of their own, and so do passes over one range (`passes`, `phases`) and ranges that
    lie apart without a slice missing between them (`gaps`).
    """
    numbers = {one.number for one in slices}
    stacks = [
        part
        for alike in _alike(slices)
        for one_pass in split_passes(alike)
        for phase in split_phases(one_pass)
        for part in separate_ranges(phase, numbers)
    ]
    return sorted(stacks, key=len, reverse=True)


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
        f"{count} taken by several slices: {name_slices(first)} all lie at ({at}) mm, "
        "and nothing tells which belong together"
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
