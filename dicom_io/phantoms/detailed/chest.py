"""What a detailed phantom has in its chest beside lungs and heart."""

from __future__ import annotations

import numpy as np

from dicom_io.phantoms.body import Body, Mask
from dicom_io.phantoms.detailed.brush import tube

_SIDES = (("left", 1), ("right", -1))
_AIR = -990.0
_VESSELS = 14
"""Of a lung; each has a branch."""


def paint_chest(body: Body, free: Mask) -> None:
    """Paint great vessels, airways, and what is seen in the lungs.

    Parameters
    ----------
    body : Body
    free : ndarray of bool
        Where no fluid lies.
    """
    _great_vessels(body, free & body.cavity & ~body.organs["heart"])
    for side, sign in _SIDES:
        _lung(body, side, sign)
    _airways(body, free)


def _great_vessels(body: Body, where: Mask) -> None:
    body.begin("great vessels")
    low, blood, veins = body.dome, body.blood_hu, body.enhanced("veins")
    width = body.rng.uniform(0.9, 1.1)
    for ends, radii, hu in (
        (((-14, -15, low + 55), (-14, -12, low + 115)), (15, 15), blood),  # ascending aorta
        (((-14, -12, low + 115), (*body.aorta, low + 125)), (14, 12), blood),  # arch
        (((10, -18, low + 60), (12, -2, low + 86)), (13, 13), blood),  # pulmonary trunk
        (((12, -2, low + 86), (-32, 8, low + 80)), (10, 8), blood),
        (((12, -2, low + 86), (34, 10, low + 84)), (10, 8), blood),
        (((-25, -8, low + 50), (-25, -5, low + 150)), (9, 8), veins),  # superior vena cava
    ):
        tube(body, ends, (radii[0] * width, radii[1] * width), hu, where)


def _lung(body: Body, side: str, sign: int) -> None:
    """Paint what gravity does to a lung, and its vessels."""
    aerated = body.organs[f"{side} lung"] & (body.hu < -500)
    body.begin(f"{side} lung vessels")
    # the lower lung is denser; 90 mm is half of its depth
    gradient = body.rng.uniform(15, 50) * body.down * body.y / 90
    np.add(body.hu, gradient, out=body.hu, where=aerated)
    hu = 0.8 * body.blood_hu
    hilum = (sign * 26, 6, body.dome + 75)
    for _ in range(_VESSELS):
        far = (
            sign * (body.lung_x + body.rng.uniform(-45, 55)),
            body.rng.uniform(-75, 85),
            body.dome + body.rng.uniform(-15, 165),
        )
        share, thick = body.rng.uniform(0.4, 0.7), body.rng.uniform(2.5, 5)
        fork = tuple(h + share * (f - h) for h, f in zip(hilum, far, strict=True))
        tube(body, (hilum, fork), (thick, 0.6 * thick), hu, aerated)
        tube(body, (fork, far), (0.6 * thick, 1), hu, aerated)
        tube(body, (fork, body.jitter(*far, mm=35)), (0.5 * thick, 1), hu, aerated)


def _airways(body: Body, free: Mask) -> None:
    body.begin("airways")
    carina = (0.0, 8.0, body.dome + 105)
    radius = body.rng.uniform(7.5, 10)
    tube(body, (carina, (0, 0, 262)), (radius + 2, radius + 2), 45, free)
    tube(body, (carina, (0, 0, 262)), (radius, radius), _AIR, free)
    for _, sign in _SIDES:
        hilum = (sign * 32, 10, body.dome + 78)
        tube(body, (carina, hilum), (0.85 * radius, 0.6 * radius), _AIR, free)
