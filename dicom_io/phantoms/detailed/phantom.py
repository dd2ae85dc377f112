"""Detailed phantoms, made of a seed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.body import Array, Body, Mask, Streams
from dicom_io.phantoms.detailed.abdomen import paint_abdomen
from dicom_io.phantoms.detailed.chest import paint_chest
from dicom_io.phantoms.detailed.findings import SIZES_MM, draw_findings
from dicom_io.phantoms.detailed.lesions import plant_lesion
from dicom_io.phantoms.detailed.look_alikes import paint_look_alikes
from dicom_io.phantoms.detailed.reconstruction import paint_texture, reconstructed
from dicom_io.phantoms.detailed.surroundings import paint_surroundings
from dicom_io.phantoms.grades import Grade, graded, noise_of, visible
from dicom_io.phantoms.phantom import Phantom, grid_of
from dicom_io.phantoms.scan import Region, Scan, draw_scan
from dicom_io.phantoms.truth import PHASES, PLANES, Phase, Plane, Truth
from dicom_io.types import Volume

_FEET_TO_HEAD_MM: dict[Region, tuple[float, float]] = {
    "head": (268, 482),
    "chest": (-10, 262),
    "abdomen": (-280, 100),
    "chest and abdomen": (-280, 262),
    "head to pelvis": (-280, 482),
}
"""Of the body whose origin lies in the middle of the abdomen."""

_MOST_VOXELS = 3e6
"""Of a volume: what one core makes within half a second, with room to spare."""

_PIXELS = (112, 224)


@dataclass(frozen=True)
class Study:
    """What is drawn of a seed before anything is painted."""

    truth: Truth
    scan: Scan


def draw_study(
    seed: int,
    *,
    plane: Plane | None = None,
    phase: Phase | None = None,
    region: Region | None = None,
    grade: Grade = "standard",
) -> Study:
    """Draw what a phantom shows, and how it is scanned.

    Parameters
    ----------
    seed : int
    plane, phase, region : str, optional
        In place of those that the seed would draw.
    grade : {"standard", "subtle", "hard"}
        See `make_detailed_phantom`.
    """
    streams = Streams(seed)
    scan = draw_scan(streams["scan"])
    scan = replace(scan, region=region or scan.region)
    rng = streams["plane and phase"]
    drawn = PLANES[rng.choice(3, p=(0.6, 0.2, 0.2))], PHASES[rng.integers(4)]
    findings = draw_findings(streams, scan.region)
    truth = Truth(plane or drawn[0], phase or drawn[1], findings, scan.region)
    return Study(graded(truth, grade, streams["grade"], SIZES_MM), scan)


def make_detailed_phantom(
    seed: int,
    *,
    plane: Plane | None = None,
    phase: Phase | None = None,
    region: Region | None = None,
    without: Collection[str] = (),
    grade: Grade = "standard",
) -> Phantom:
    """Make the detailed phantom of a seed.

    As with plain phantoms every organ, finding and look-alike has a random stream of its own, so
    that a body without a finding differs only where the finding lies, but for blur.

    Parameters
    ----------
    seed : int
        Decides everything.
    plane, phase, region : str, optional
        In place of those that the seed would draw.
    without : collection of str
        Findings that are left out, where the seed would plant them.
    grade : {"standard", "subtle", "hard"}
        Subtle findings are slighter than any of a standard phantom; a hard phantom is noisier, too
        (`dicom_io.phantoms.grades`). One too slight for any voxel is not there.

    Returns
    -------
    Phantom
        Volume of int16, stack and rows ordered as displayed, with `scan` and `look_alikes`.
    """
    study = draw_study(seed, plane=plane, phase=phase, region=region, grade=grade)
    streams = Streams(seed)
    truth, scan = study.truth.without(without), study.scan
    grid, affine, scan = _grid(truth.plane, scan, streams["grid"])
    body = Body(grid, truth, streams, down=scan.down)
    fluid = [body.regions[n] for n in ("pleural effusion", "ascites") if n in body.regions]
    free = ~np.logical_or.reduce(fluid) if fluid else np.ones(body.hu.shape, np.bool_)
    look_alikes = _paint(body, study, free, without)
    truth = visible(truth, grade, body.regions)
    noisier = noise_of(grade, streams["graded noise"])
    volume = Volume(reconstructed(body, scan, streams["noise"], noisier), affine)
    return Phantom(seed, volume, truth, body.regions, scan=scan, look_alikes=look_alikes)


def _paint(body: Body, study: Study, free: Mask, without: Collection[str]) -> dict[str, Mask]:
    body.organs["cavity"] = body.cavity & ~body.spine
    paint_chest(body, free)
    paint_abdomen(body, free)
    paint_surroundings(body, arms_down=study.scan.arms_down)
    look_alikes = paint_look_alikes(body, free)
    effusion = study.truth.finding("pleural effusion")
    for finding in study.truth.findings:
        if finding.name in SIZES_MM and finding.name not in without:
            plant_lesion(body, finding, effusion.side if effusion else None, free)
    paint_texture(body)
    return look_alikes


def _grid(
    plane: Plane, scan: Scan, rng: np.random.Generator
) -> tuple[tuple[Array, Array, Array], NDArray[np.float64], Scan]:
    """Lay out the slices; thin ones are made thicker where there would be too many."""
    low, high = _FEET_TO_HEAD_MM[scan.region]
    width, depth = (300.0, 300.0) if scan.region == "head" else (430.0, 320.0)
    if scan.arms_down and scan.region != "head":
        width = 540.0
    extent = np.array([width, depth, high - low]) * rng.uniform(0.98, 1.06, 3)
    centre = np.array([0.0, 10.0, (low + high) / 2]) + rng.uniform(-10, 10, 3)
    along = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    across = [extent[axis] for axis in range(3) if axis != along]
    fine, coarse = (max(across) / pixels for pixels in reversed(_PIXELS))
    increment = max(scan.increment_mm, np.prod(across) / coarse**2 * extent[along] / _MOST_VOXELS)
    fits = np.sqrt(np.prod(across) * extent[along] / increment / _MOST_VOXELS)
    in_plane = float(max(rng.uniform(fine, coarse), fits))
    scan = replace(scan, increment_mm=increment, thickness_mm=max(scan.thickness_mm, increment))
    return (*grid_of(plane, (increment, in_plane, in_plane), extent, centre), scan)
