"""Focal findings of a detailed phantom, each painted from its own stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dicom_io.phantoms.body import Body, Mask
from dicom_io.phantoms.detailed.findings import PNEUMOTHORAX, STONE
from dicom_io.phantoms.focal import PLACED, Draw, OneSide, Placed
from dicom_io.phantoms.truth import Finding

_AIR = -995.0
_VISIBLE = 0.95
"""Smallest radius in voxels: the nearest centre is up to √3 / 2 away, more in a turned body."""

_SIGN: dict[str | None, int] = {"left": 1, "right": -1}


def plant_lesion(body: Body, finding: Finding, effusion: str | None, free: Mask) -> None:
    """Paint a focal finding, and remember where it lies.

    Parameters
    ----------
    body : Body
    finding : Finding
        Neither of a whole organ nor fluid.
    effusion : str, optional
        The side that an effusion covers, in this body or in the one it is compared with.
    free : ndarray of bool
        Where no fluid lies.
    """
    body.begin(f"lesion {finding.name}")
    if finding.name == PNEUMOTHORAX:
        where = _free_air(body, finding, free)
        body.fill(where, _AIR)
    else:
        where = _solid(body, finding, effusion)
    body.regions[finding.name] = where


def _solid(body: Body, finding: Finding, effusion: str | None) -> Mask:
    placed = _placed(body, finding, effusion)
    # a little longer than wide, as real ones are
    radii = tuple(
        max(r * f, _VISIBLE * voxel)
        for r, f, voxel in zip(
            placed.radii, (1.0, *body.rng.uniform(0.8, 1, 2)), _voxel(body), strict=True
        )
    )
    where = body.inside(placed.centre, radii, body.organs[placed.organ])
    body.fill(where, _HU[finding.name](body))
    if finding.name == "aortic aneurysm":
        # the blood flows through a thrombus
        lumen = tuple(body.rng.uniform(0.55, 0.8) * r for r in radii)
        body.fill(body.inside(placed.centre, lumen, where), body.blood_hu)
    return where


def _placed(body: Body, finding: Finding, effusion: str | None) -> Placed:
    side: OneSide = "left" if finding.side == "left" else "right"
    upper = bool(finding.place and finding.place.startswith(("upper", "superior")))
    x, y, z = (float(at) for at in body.rng.uniform(-1, 1, 3))
    drawn = Draw(side, upper, (x, y, z), (finding.size_mm or 0) / 2 / body.size)
    if finding.name == STONE:
        return _stone(body, drawn)
    placed = PLACED[finding.name](body.landmarks(effusion), drawn)
    if finding.name == "pulmonary nodule":
        across, along, up = placed.centre
        # fluid and heart sink to where the body lies, and the nodule stays off both
        return replace(placed, centre=(across, body.down * along, up))
    return placed


def _stone(body: Body, drawn: Draw) -> Placed:
    """A stone lies in a calyx at a pole, beside the renal pelvis."""
    across, along, up = drawn.at
    x, y, z = body.kidneys[drawn.side]
    centre = (x + 4 * across, y + 4 * along, z + (28 if drawn.upper else -28) + 4 * up)
    radii = (drawn.radius, drawn.radius, drawn.radius)
    place = "upper pole" if drawn.upper else "lower pole"
    return Placed(drawn.side, place, centre, radii, f"{drawn.side} kidney", 0)


def _free_air(body: Body, finding: Finding, free: Mask) -> Mask:
    """Air rises, and the lung falls away from it, most at the apex."""
    lung = body.organs[f"{finding.side} lung"]
    height = body.down * body.y - 0.06 * (body.z - body.dome - 60)
    within = np.broadcast_to(height, lung.shape)[lung]
    if not len(within):
        return lung
    # the deepest point of a lung is a corner: a hundredth of its voxels lie there
    edge = float(np.quantile(within, 0.01)) + (finding.size_mm or 0) / body.size
    air: Mask = lung & free & (height < edge)
    return air


def _voxel(body: Body) -> tuple[float, float, float]:
    """Its size along x, y and z, in the body's own millimetres."""
    steps = [float(np.abs(line.ravel()[1] - line.ravel()[0])) for line in body.lines]
    return steps[0], steps[1], steps[2]


def _nodule_hu(body: Body) -> float:
    calcified = body.rng.random() < 0.2
    return body.rng.uniform(180, 400) if calcified else body.rng.uniform(15, 70)


_HU: dict[str, Callable[[Body], float]] = {
    "pulmonary nodule": _nodule_hu,
    "liver lesion": lambda body: body.liver_hu - body.rng.uniform(25, 60),
    "renal cyst": lambda body: body.rng.uniform(0, 18),
    "aortic aneurysm": lambda body: body.rng.uniform(30, 48),
    # brighter than the contrast that a kidney excretes
    STONE: lambda body: body.rng.uniform(650, 1300),
}
