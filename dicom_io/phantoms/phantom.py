"""Synthetic CT studies: anatomy of simple bodies in plausible HU, with findings planted on purpose.

Patient coordinates are mm, LPS (PS3.3 C.7.6.2.1.1): x grows to the patient's left, y to the back,
z to the head. The origin lies in the middle of the abdomen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.body import Array, Body, Mask, Streams
from dicom_io.phantoms.focal import draw_lesions
from dicom_io.phantoms.grades import Grade, graded, noise_of, visible
from dicom_io.phantoms.noise import scanned
from dicom_io.phantoms.scan import Scan
from dicom_io.phantoms.truth import Finding, Phase, Plane, Truth, draw_truth
from dicom_io.types import Volume

# Direction cosines of the stack, the rows (down) and the columns, as a reader sees the slices
_AXES: dict[Plane, tuple[tuple[int, int], ...]] = {
    "axial": ((2, -1), (1, +1), (0, +1)),
    "coronal": ((1, +1), (2, -1), (0, +1)),
    "sagittal": ((0, +1), (2, -1), (1, +1)),
}


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic study: its volume in HU and what is true of it.

    Parameters
    ----------
    seed : int
        That it was made from.
    volume : Volume
        In HU.
    truth : Truth
        What it shows.
    regions : dict of str to ndarray
        The voxels that each planted finding speaks of, as the volume lies: fluid and lesions
        themselves, and the organ where the finding is one of a whole organ.
    scan : Scan, optional
        How it was scanned; plain phantoms have none.
    look_alikes : dict of str to ndarray
        The voxels of what looks like a finding and is none; plain phantoms have none.
    """

    seed: int
    volume: Volume
    truth: Truth
    regions: dict[str, Mask] = field(repr=False, default_factory=dict)
    scan: Scan | None = None
    look_alikes: dict[str, Mask] = field(repr=False, default_factory=dict)


def make_phantom(
    seed: int,
    *,
    matrix: int | None = None,
    plane: Plane | None = None,
    phase: Phase | None = None,
    focal: bool = False,
    without: Collection[str] = (),
    grade: Grade = "standard",
) -> Phantom:
    """Make the phantom of a seed.

    The body and its findings are the same in every plane and phase. Each organ has a random stream
    of its own, so that the body is also the same without some of its findings: only the voxels
    differ that these touch.

    Parameters
    ----------
    seed : int
        Decides everything: body, plane, phase, findings, noise.
    matrix : int, optional
        Pixels along the wider side of a slice; 96 to 144 by default.
    plane, phase : str, optional
        In place of those that the seed would draw.
    focal : bool
        Whether focal findings may be planted too (`dicom_io.phantoms.focal`). The embedded model
        has not seen any.
    without : collection of str
        Findings that are left out, where the seed would plant them.
    grade : {"standard", "subtle", "hard"}
        Subtle findings are slighter than those that the embedded model has seen; a hard phantom is
        noisier, too (`dicom_io.phantoms.grades`). One too slight for any voxel is not there.

    Returns
    -------
    Phantom
        Volume of int16, stack and rows ordered as displayed.
    """
    streams = Streams(seed)
    drawn = graded(draw_truth(np.random.default_rng(seed)), grade, streams["grade"])
    truth = replace(drawn, plane=plane or drawn.plane, phase=phase or drawn.phase).without(without)
    grid, affine = _grid(truth.plane, streams["grid"], matrix)
    body = Body(grid, truth, streams)
    truth = visible(truth, grade, body.regions)
    if focal:
        lesions = _plant(body, drawn, np.random.default_rng((seed, 1)), without)
        truth = replace(truth, findings=(*truth.findings, *lesions))
    noisier = noise_of(grade, streams["graded noise"])
    volume = Volume(scanned(body.hu, streams["noise"], noisier), affine)
    return Phantom(seed, volume, truth, body.regions)


def _plant(
    body: Body, drawn: Truth, rng: np.random.Generator, without: Collection[str]
) -> Iterator[Finding]:
    """Plant focal findings; bone stays bone. What is left out draws, too.

    A nodule lies where an effusion would not hide it, left out or not.
    """
    effusion = drawn.finding("pleural effusion")
    body.organs["cavity"] = body.cavity & ~body.spine
    for lesion in draw_lesions(body.landmarks(effusion.side if effusion else None), rng):
        if lesion.name in without:
            continue
        where = body.inside(lesion.centre, lesion.radii, body.organs[lesion.organ])
        body.fill(where, lesion.hu)
        body.regions[lesion.name] = where
        yield Finding(lesion.name, lesion.side, lesion.extent, lesion.place, lesion.size_mm)


def _grid(
    plane: Plane, rng: np.random.Generator, matrix: int | None
) -> tuple[tuple[Array, Array, Array], NDArray[np.float64]]:
    """Return x, y, z in mm, broadcastable to (D, H, W), and the affine to them."""
    extent = np.array([430.0, 310.0, 560.0]) * rng.uniform(0.97, 1.08, 3)
    pixels = matrix or int(rng.integers(96, 145))
    axes = _AXES[plane]
    in_plane = max(extent[axes[1][0]], extent[axes[2][0]]) / pixels
    spacing = float(rng.uniform(4.0, 7.0)), in_plane, in_plane
    return grid_of(plane, spacing, extent, rng.uniform(-12, 12, 3))


def grid_of(
    plane: Plane,
    spacing: tuple[float, float, float],
    extent: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> tuple[tuple[Array, Array, Array], NDArray[np.float64]]:
    """Lay out the voxels of a stack.

    Parameters
    ----------
    plane : str
        Of the slices.
    spacing : tuple of float
        In mm, from slice to slice, row to row and column to column.
    extent, centre : ndarray, shape (3,)
        Of the volume along x, y and z, in mm.

    Returns
    -------
    tuple
        x, y and z in mm, broadcastable to (D, H, W), and the affine to them.
    """
    axes = _AXES[plane]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    coordinates: list[Array] = [np.empty(0, np.float32)] * 3
    for array_axis, (axis, sense) in enumerate(axes):
        step = spacing[array_axis]
        n = round(extent[axis] / step)
        start = centre[axis] - sense * step * (n - 1) / 2
        affine[axis, array_axis] = sense * step
        affine[axis, 3] = start
        shape = [1, 1, 1]
        shape[array_axis] = n
        line = start + sense * step * np.arange(n)
        coordinates[axis] = line.astype(np.float32).reshape(shape)
    return (coordinates[0], coordinates[1], coordinates[2]), affine
