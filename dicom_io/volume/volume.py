"""A series becomes a volume in Hounsfield units with an affine to patient coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_io.types import Series, Volume
from dicom_io.volume.geometry import Grid, grid_of
from dicom_io.volume.pixels import AIR_HU, has_whole_hu, hu_of_slices
from dicom_io.volume.slices import Slice, slices_of

_ON_GRID = 0.02
"""Share of the spacing within which a slice is copied rather than interpolated."""


def build_volume(series: Series) -> Volume:
    """Build the volume of a series that is one stack.

    Slices are ordered along their normal (row × column direction), whatever their numbers and file
    names. H follows the image's columns downwards, W its rows; `orientation.reorient` turns the
    volume as a reader sees it. Gantry tilt is sheared away, uneven slices are resampled on their
    true positions, small gaps are interpolated; `notes` says so.

    Parameters
    ----------
    series : Series
        All images alike; `dicom_io.volume.series.choose_series` separates mixed ones.

    Returns
    -------
    Volume
        int16 where every HU is a whole number that fits (resampled ones are rounded), else float32.

    Raises
    ------
    GeometryError
        The slices are of several kinds, share positions, or are fewer than two.
    IncompleteSeries
        Slices are missing that cannot be interpolated, or pixel data is cut off.
    MissingAttribute
        A slice lacks position, orientation, spacing or rescaling.
    UnsupportedTransferSyntax
        No decoder reads the pixel data.
    """
    return volume_of_slices(slices_of(series))


def volume_of_slices(slices: tuple[Slice, ...]) -> Volume:
    """Build the volume of the image planes of one stack; see `build_volume`."""
    grid = grid_of(slices)
    hu = _fill(grid)
    uids = tuple(plane.instance.sop_instance_uid for plane in grid.slices)
    return Volume(hu, grid.affine_lps, uids, grid.notes)


def _fill(grid: Grid) -> NDArray[Any]:
    """Decode slice after slice into the volume; two decoded slices are held at a time."""
    whole = has_whole_hu(grid.slices)
    hu: NDArray[Any] = np.empty(grid.shape, np.int16 if whole else np.float32)
    before: NDArray[Any] | None = None
    last_place = 0.0
    for k, decoded in enumerate(hu_of_slices(grid.slices)):
        plane = _moved(decoded, grid.shifts[k], grid.shape[1:])
        if hu.dtype == np.int16 and not _fits_int16(plane):
            hu = hu.astype(np.float32)
        place = float(grid.places[k])
        for d in range(int(np.ceil(last_place + _ON_GRID)) if k else 0, _last(place) + 1):
            share = (place - d) / (place - last_place) if k else 0.0
            if before is None or abs(place - d) <= _ON_GRID:
                hu[d] = plane
            else:
                mixed = share * before + (1 - share) * plane
                hu[d] = np.rint(mixed) if hu.dtype == np.int16 else mixed
        before, last_place = plane, place
    return hu


def _last(place: float) -> int:
    return int(np.floor(place + _ON_GRID))


def _fits_int16(plane: NDArray[Any]) -> bool:
    return bool(plane.min() >= -(2**15) and plane.max() < 2**15)


def _moved(plane: NDArray[Any], shift: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[Any]:
    """Put a plane at (row, column) `shift` of an empty one of `shape`, linearly interpolated."""
    if plane.shape == shape and not shift.any():
        return plane
    for axis in (0, 1):
        plane = _moved_along(plane, axis, float(shift[axis]), shape[axis])
    return plane


def _moved_along(plane: NDArray[Any], axis: int, shift: float, length: int) -> NDArray[Any]:
    lines = np.moveaxis(plane, axis, 0)
    start = int(np.ceil(shift - 1e-6))
    fraction = start - shift
    whole = abs(fraction) < 1e-6
    inner = lines if whole else (1 - fraction) * lines[:-1] + fraction * lines[1:]
    moved = np.full((length, lines.shape[1]), AIR_HU, inner.dtype)
    moved[start : start + len(inner)] = inner
    if not whole and np.issubdtype(plane.dtype, np.integer):
        moved = np.rint(moved).astype(plane.dtype)
    return np.moveaxis(moved, 0, axis)
