"""A grid of given spacing and size over a volume: what is resampled, and what is filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """One axis of the grid.

    Parameters
    ----------
    first : int
        Sample of the resampled axis that the grid begins with; negative where air comes before.
    count : int
        Samples of the grid.
    within : tuple of int
        From which to before which sample of the grid it lies in the volume; the rest is filled.
    step : float
        Voxels from one sample to the next.
    start : float
        Where sample 0 of the resampled axis lies, in indices of the volume.
    """

    first: int
    count: int
    within: tuple[int, int]
    step: float
    start: float = 0.0

    @property
    def at(self) -> NDArray[np.float64]:
        """Where its samples within the volume lie, in indices of the volume."""
        samples = self.first + np.arange(*self.within)
        return np.asarray(self.start + samples * self.step, np.float64)


def resampled_size(voxels: int, spacing_mm: float, wanted_mm: float) -> int:
    """Return the samples of a whole axis: from the first voxel's centre to about the last one's.

    Parameters
    ----------
    voxels : int
    spacing_mm, wanted_mm : float
        From voxel to voxel, and from sample to sample.
    """
    return max(1, round((voxels - 1) * spacing_mm / wanted_mm + 1))


def axis_over(
    voxels: int, spacing_mm: float, wanted_mm: float, size: int, centre: float | None = None
) -> Axis:
    """Lay a grid over an axis: around a place, or over its middle.

    MONAI's Spacing, then SpatialPad and CenterSpatialCrop: voxel 0 stays in its place, and of an
    odd rest the smaller half comes first.

    Parameters
    ----------
    voxels : int
        Of the volume along this axis.
    spacing_mm, wanted_mm : float
        From voxel to voxel, and from sample to sample.
    size : int
        Samples of the grid.
    centre : float, optional
        Sample of the resampled axis that is to be in the middle, as far as the volume reaches.
    """
    step = wanted_mm / spacing_mm
    resampled = resampled_size(voxels, spacing_mm, wanted_mm)
    if resampled <= size:
        first = -((size - resampled) // 2)
    elif centre is None:
        first = resampled // 2 - size // 2
    else:
        first = min(max(round(centre - size / 2), 0), resampled - size)
    return Axis(first, size, (max(0, -first), min(size, resampled - first)), step)


def axis_between_ends(voxels: int, spacing_mm: float, wanted_mm: float, size: int) -> Axis:
    """Lay a grid over the middle of an axis that keeps its two ends.

    As torch's `interpolate` to a whole number of samples, so the spacing is nearly the wanted one;
    of an odd rest the smaller half comes first.

    Parameters
    ----------
    voxels : int
        Of the volume along this axis.
    spacing_mm, wanted_mm : float
        From voxel to voxel, and from sample to sample.
    size : int
        Samples of the grid.
    """
    resampled = max(1, int(voxels * (spacing_mm / wanted_mm)))  # in CT-CHAT's order of rounding
    step = voxels / resampled
    first = (resampled - size) // 2 if resampled > size else -((size - resampled) // 2)
    within = max(0, -first), min(size, resampled - first)
    return Axis(first, size, within, step, start=0.5 * step - 0.5)
