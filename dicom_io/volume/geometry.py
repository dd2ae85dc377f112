"""The regular grid that the slices of a stack lie on, or are resampled to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import GeometryError
from dicom_io.slices.gaps import missing_slices
from dicom_io.slices.passes import along_normal
from dicom_io.slices.slices import Slice, name_slices
from dicom_io.volume.grouping import refuse_mixture, refuse_repeated_positions

PLACE_TOLERANCE = 0.01
"""How far a slice may lie off the even grid, as a share of the spacing (at least 0.01 mm)."""

# What lies less than half a pixel off needs no resampling: its nearest pixel is its own
_SHEAR_TOLERANCE_PIXELS = 0.5
# The longest tables move 2 m; slices of a protocol with skips lie up to a few centimetres apart
_LONGEST_MM, _FARTHEST_APART_MM = 3000.0, 100.0
# A shift by a thousandth of a pixel is rounding, and needs no further row
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Grid:
    """How the slices of a stack become a volume.

    Parameters
    ----------
    slices : tuple of Slice
        Sorted along the normal (row direction × column direction).
    places : ndarray of float64, shape (N,)
        Index of each slice along D of the volume; whole numbers where nothing is resampled.
    shifts : ndarray of float64, shape (N, 2)
        Row and column of the volume at which each slice's first pixel comes to lie; all zero where
        nothing is sheared.
    affine_lps : ndarray of float64, shape (4, 4)
        Of the volume.
    shape : tuple of int
        (D, H, W) of the volume.
    notes : tuple of str
        What has to be corrected, one sentence each.
    """

    slices: tuple[Slice, ...]
    places: NDArray[np.float64]
    shifts: NDArray[np.float64]
    affine_lps: NDArray[np.float64]
    shape: tuple[int, int, int]
    notes: tuple[str, ...]


def grid_of(slices: Sequence[Slice]) -> Grid:
    """Order the slices of one stack and find their grid.

    The volume's D axis runs along the normal, H and W along the columns and rows of the first
    slice. Where slices are displaced within their plane by more than half a pixel (gantry tilt),
    D is perpendicular to them and they are to be moved by `shifts`; a smaller displacement stays in
    the affine.

    Raises
    ------
    GeometryError
        Slices differ in orientation, size or kind, share a position, are fewer than two, or are
        scattered within their plane.
    IncompleteSeries
        More slices are missing than may be interpolated.
    """
    refuse_mixture(slices)
    refuse_repeated_positions(slices)
    if len(slices) < 2:
        raise GeometryError(f"{name_slices(slices)} alone is no volume")
    distance = along_normal(slices)
    order = np.argsort(distance)
    ordered = tuple(slices[k] for k in order)
    distance = distance[order] - distance[order[0]]
    _refuse_implausible(distance)
    notes = list(missing_slices(ordered, distance))
    count, spacing = _even_spacing(distance)
    places = distance / spacing
    if count != len(ordered) and not notes:
        notes.append(_unevenness(distance, spacing))
    if count == len(ordered):
        places = np.arange(count, dtype=np.float64)
    offsets = _offsets_mm(ordered)
    _refuse_scattered(offsets, distance[-1] + (_pixel(ordered[0]) * ordered[0].shape).max())
    sheared = np.abs(offsets).max(axis=0) > _SHEAR_TOLERANCE_PIXELS * _pixel(ordered[0])
    if sheared.any():
        notes.insert(0, _displacement(distance, offsets[:, sheared]))
    shifts = np.where(sheared, offsets / _pixel(ordered[0]), 0.0)
    before = np.ceil(-shifts.min(axis=0) - _ROUNDING).clip(0)
    after = np.ceil(shifts.max(axis=0) - _ROUNDING).clip(0)
    rows, columns = (np.array(ordered[0].shape) + before + after).astype(int)
    drift = np.where(sheared, 0.0, offsets[-1] / distance[-1])
    affine = _affine(ordered[0], spacing, drift, before)
    return Grid(ordered, places, shifts + before, affine, (count, rows, columns), tuple(notes))


def _even_spacing(distance: NDArray[np.float64]) -> tuple[int, float]:
    """Number and distance of evenly spaced slices from the first place to the last.

    Even stacks keep theirs; gaps are filled; otherwise the smallest distance is taken, with at
    most twice as many slices as there are (the rule that dcm2niix follows).
    """
    n, extent = len(distance), distance[-1]
    gaps = np.diff(distance)
    for count in (n, round(extent / float(np.median(gaps))) + 1):
        spacing = extent / (count - 1)
        off = np.abs(distance / spacing - np.rint(distance / spacing)).max() * spacing
        if n <= count <= 2 * n and off <= max(PLACE_TOLERANCE * spacing, 0.01):
            return count, spacing
    count = min(round(extent / gaps.min()) + 1, 2 * n)
    return count, extent / (count - 1)


def _refuse_implausible(distance: NDArray[np.float64]) -> None:
    """Refuse what no patient and no table is, before memory is taken for it."""
    usual = float(np.median(np.diff(distance)))
    if distance[-1] > _LONGEST_MM or usual > _FARTHEST_APART_MM:
        raise GeometryError(
            f"{len(distance)} slices {usual:.3g} mm apart, over {distance[-1]:.3g} mm"
        )


def _unevenness(distance: NDArray[np.float64], spacing: float) -> str:
    gaps = np.diff(distance)
    return (
        f"The distance between slices varies from {gaps.min():.2f} to {gaps.max():.2f} mm; "
        f"resampled to {spacing:.2f} mm."
    )


def _pixel(one: Slice) -> NDArray[np.float64]:
    """Size along the columns (H) and along the rows (W), mm."""
    return np.array(one.pixel_spacing)


def _offsets_mm(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """How far each first pixel lies from that of the first slice, along H and W: (N, 2)."""
    first = slices[0]
    moved = np.array([one.position - first.position for one in slices])
    return np.stack([moved @ first.column, moved @ first.row], axis=1)


def _refuse_scattered(offsets: NDArray[np.float64], most_mm: float) -> None:
    """A gantry tilts by 30 degrees, a stack leans by 45: what lies farther out is an error."""
    if np.abs(offsets).max() > most_mm:
        raise GeometryError(
            f"slices are displaced within their plane by up to {np.abs(offsets).max():.0f} mm"
        )


def _displacement(distance: NDArray[np.float64], offsets: NDArray[np.float64]) -> str:
    """One sentence on what moves the slices: a tilted gantry moves them evenly."""
    slope = offsets[-1] / distance[-1]
    if np.abs(offsets - distance[:, None] * slope).max() > 1.0:
        most = np.abs(offsets).max()
        return f"Slices are displaced within their plane by up to {most:.1f} mm; moved back."
    angle = np.rad2deg(np.arctan(np.linalg.norm(slope)))
    return f"The gantry was tilted by {angle:.1f} degrees; corrected by shearing."


def _affine(
    first: Slice, spacing: float, drift: NDArray[np.float64], before: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Affine of the volume; `drift` is what the stack moves along H and W for each mm of D."""
    pixel = _pixel(first)
    affine = np.eye(4)
    affine[:3, 0] = spacing * (first.normal + drift[0] * first.column + drift[1] * first.row)
    affine[:3, 1] = pixel[0] * first.column
    affine[:3, 2] = pixel[1] * first.row
    affine[:3, 3] = first.position - affine[:3, 1:3] @ before
    return affine
