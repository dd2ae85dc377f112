"""A series becomes a volume in Hounsfield units with an affine to patient coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import (
    DicomError,
    IncompleteSeries,
    UnreadableImage,
    UnsupportedTransferSyntax,
)
from dicom_io.slices.gaps import MOST_MISSING_SHARE, MOST_MISSING_TOGETHER
from dicom_io.slices.pixels import AIR_HU, Pixels
from dicom_io.types import Volume
from dicom_io.volume.choice import SeriesChoice
from dicom_io.volume.geometry import Grid, grid_of
from dicom_io.volume.stacks import Stack

# Share of the spacing within which a slice is copied rather than interpolated: what a resampling
# by less would change is under the noise, what it would blur is not
_ON_GRID = 0.02
# A millionth of a pixel is what dividing offsets by spacings leaves of whole numbers
_WHOLE = 1e-6


def build_volume(stack: Stack) -> Volume:
    """Build the volume of a stack.

    Slices are ordered along their normal (row × column direction), whatever their numbers and file
    names. H follows the image's columns downwards, W its rows; `orientation.reorient` turns the
    volume as a reader sees it. Gantry tilt is sheared away, uneven slices are resampled on their
    true positions, small gaps are interpolated; `notes` says so.

    Returns
    -------
    Volume
        int16 where every HU is a whole number that fits (resampled ones are rounded), else float32.

    Images whose pixel data cannot be read are left out like those that never arrived; `unreadable`
    names them.

    Raises
    ------
    IncompleteSeries
        Pixel data of more images cannot be read than may be interpolated.
    UnsupportedTransferSyntax
        No decoder reads the pixel data.
    DecoderUnavailable
        Compressed images cannot be decoded now.
    """
    grid = stack.grid
    hu, faults = _fill(grid)
    if faults:
        grid = _without(grid, faults)
        hu, again = _fill(grid)
        _refuse(again, len(grid.slices), most=0)
    uids = tuple(one.instance.sop_instance_uid for one in grid.slices)
    reasons = tuple(str(error) for error in faults.values())
    return Volume(hu, grid.affine_lps, uids, grid.notes, reasons)


def build_first(choice: SeriesChoice) -> tuple[SeriesChoice, Volume]:
    """Build the volume of the first stack of a choice that can be built.

    Returns
    -------
    SeriesChoice
        With the stack that was built as the one taken; those before it are among the rejected.
    Volume

    Raises
    ------
    DicomError
        None can be built; the reason is that of the last.
    """
    while True:
        try:
            return choice, build_volume(choice.stack)
        except DicomError as error:
            if error.retryable or not choice.others:
                raise
            choice = choice.without_first(str(error))


def _without(grid: Grid, faults: Mapping[int, DicomError]) -> Grid:
    """The grid of the slices that can be read."""
    try:
        return grid_of([one for k, one in enumerate(grid.slices) if k not in faults])
    except DicomError as error:
        raise IncompleteSeries("; ".join(map(str, [*faults.values(), error]))) from error


def _refuse(faults: Mapping[int, DicomError], count: int, *, most: int) -> None:
    """Give up a stack that lost too many of its `count` slices, before each costs a time limit."""
    if len(faults) <= most:
        return
    errors = list(faults.values())
    of_one_kind = all(isinstance(e, UnsupportedTransferSyntax) for e in errors)
    kind = UnsupportedTransferSyntax if of_one_kind else IncompleteSeries
    raise kind(f"{'; '.join(map(str, errors))}; given up, of {count} slices") from errors[-1]


def _fill(grid: Grid) -> tuple[NDArray[Any], dict[int, DicomError]]:
    """Decode slice after slice into the volume; two decoded slices are held at a time.

    Also returns what cannot be read; after the first of these the volume is filled no further.
    """
    whole = all(one.has_whole_hu for one in grid.slices)
    hu: NDArray[Any] = np.empty(grid.shape, np.int16 if whole else np.float32)
    most = max(MOST_MISSING_TOGETHER, int(MOST_MISSING_SHARE * len(grid.slices)))
    pixels, faults = Pixels(), dict[int, DicomError]()
    before: NDArray[Any] | None = None
    last_place = 0.0
    for k, one in enumerate(grid.slices):
        try:
            decoded = pixels.hu_of(one)
        except (UnreadableImage, UnsupportedTransferSyntax) as error:
            faults[k] = error
            _refuse(faults, len(grid.slices), most=most)
        if faults:
            continue
        image = _moved(decoded, grid.shifts[k], grid.shape[1:])
        if hu.dtype == np.int16 and not _fits_int16(image):
            hu = hu.astype(np.float32)
        place = float(grid.places[k])
        for d in range(int(np.ceil(last_place + _ON_GRID)) if k else 0, _last(place) + 1):
            share = (place - d) / (place - last_place) if k else 0.0
            if before is None or abs(place - d) <= _ON_GRID:
                hu[d] = image
            else:
                mixed = share * before + (1 - share) * image
                hu[d] = np.rint(mixed) if hu.dtype == np.int16 else mixed
        before, last_place = image, place
    return hu, faults


def _last(place: float) -> int:
    return int(np.floor(place + _ON_GRID))


def _fits_int16(image: NDArray[Any]) -> bool:
    return bool(image.min() >= -(2**15) and image.max() < 2**15)


def _moved(image: NDArray[Any], shift: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[Any]:
    """Put an image at (row, column) `shift` of an empty one of `shape`, linearly interpolated."""
    if image.shape == shape and not shift.any():
        return image
    for axis in (0, 1):
        image = _moved_along(image, axis, float(shift[axis]), shape[axis])
    return image


def _moved_along(image: NDArray[Any], axis: int, shift: float, length: int) -> NDArray[Any]:
    lines = np.moveaxis(image, axis, 0)
    start = int(np.ceil(shift - _WHOLE))
    fraction = start - shift
    whole = abs(fraction) < _WHOLE
    inner = lines if whole else (1 - fraction) * lines[:-1] + fraction * lines[1:]
    moved = np.full((length, lines.shape[1]), AIR_HU, inner.dtype)
    moved[start : start + len(inner)] = inner
    if not whole and np.issubdtype(image.dtype, np.integer):
        moved = np.rint(moved).astype(image.dtype)
    return np.moveaxis(moved, 0, axis)
