"""What a detailed phantom has in its abdomen beside the plain phantom's organs."""

from __future__ import annotations

import numpy as np

from dicom_io.phantoms.body import Body, Mask
from dicom_io.phantoms.detailed.brush import tube

_ARTERIAL = 1
"""Of the phases."""

_SIDES = (("right", -1), ("left", 1))


def paint_abdomen(body: Body, free: Mask) -> None:
    """Paint vessels of the liver, gallbladder, stomach, pancreas, colon, muscles, cortex.

    Parameters
    ----------
    body : Body
    free : ndarray of bool
        Where no fluid lies.
    """
    solid = np.zeros_like(free)
    for name in ("liver", "spleen", "right kidney", "left kidney", "heart"):
        solid |= body.organs[name]
    hollow = free & body.cavity & ~solid & ~body.spine & (body.z < body.dome + 10)
    _muscles(body, free & body.cavity & ~solid)
    _stomach(body, hollow)
    _colon(body, hollow)
    _pancreas(body, hollow)
    _liver_vessels(body)
    _kidneys(body)
    _spleen(body)
    _hips(body)


def _muscles(body: Body, where: Mask) -> None:
    body.begin("muscles")
    width = body.rng.uniform(12, 17)
    for _, sign in _SIDES:
        # psoas, from the spine to the hip
        ends = (sign * 32, 62, -60), (sign * 62, 30, -250)
        tube(body, ends, (0.8 * width, width), 56, where)


def _stomach(body: Body, where: Mask) -> None:
    body.begin("stomach")
    x, y, z = body.jitter(58, -38, 22, mm=6)
    radii = body.jitter(36, 27, 34, mm=6)
    stomach = body.inside((x, y, z), radii, where)
    body.fill(stomach, body.rng.uniform(15, 60))
    gas = body.rng.uniform(0.2, 0.7)
    above = (x, y - body.down * (1 - gas) * radii[1], z)
    body.fill(body.inside(above, tuple(gas * r for r in radii), stomach), -950)


def _colon(body: Body, where: Mask) -> None:
    body.begin("colon")
    for _, sign in _SIDES:
        x, y, _ = body.jitter(sign * 102, 8, 0, mm=6)
        radius = body.rng.uniform(15, 22)
        colon = tube(body, ((x, y, -20), (x, y, -150)), (radius, radius), 30, where)
        gas = (x, y - body.down * 0.4 * radius, -30), (x, y - body.down * 0.4 * radius, -140)
        if body.rng.random() < 0.6:
            tube(body, gas, (0.5 * radius, 0.5 * radius), -800, colon)


def _pancreas(body: Body, where: Mask) -> None:
    body.begin("pancreas")
    hu, (y, z) = 40 + 0.5 * body.enhanced("spleen"), body.jitter(2, -8, mm=6)
    tube(body, ((-30, y, z - 12), (62, y + 18, z + 12)), (12, 8), hu, where)


def _liver_vessels(body: Body) -> None:
    """Paint portal and hepatic veins, which enhance late, and the gallbladder, which never does."""
    body.begin("liver vessels")
    liver, (x, y, z) = body.organs["liver"], body.liver
    hu = body.enhanced("veins")
    hilum = (x + 26, y + 4, z - 12)
    tube(body, (hilum, (x - 30, y - 12, z + 4)), (7, 3.5), hu, liver)
    tube(body, (hilum, (x + 40, y - 32, z + 16)), (6, 3), hu, liver)
    cava = (x + 44, y + 38, z + 50)
    for far in ((x - 42, y + 16, z + 12), (x - 14, y - 40, z + 20), (x + 28, y - 44, z + 30)):
        tube(body, (cava, body.jitter(*far, mm=8)), (5, 2.5), hu, liver)


def _kidneys(body: Body) -> None:
    """Let the cortex shine before the medulla, as contrast arrives."""
    body.begin("renal medulla")
    for side, sign in _SIDES:
        x, y, z = body.kidneys[side]  # type: ignore[index]
        kidney = body.organs[f"{side} kidney"]
        pelvis = body.inside((x - sign * 10, y, z), (10, 9, 18), kidney)
        medulla = body.inside((x - sign * 3, y, z), (18, 16, 36), kidney) & ~pelvis
        if body.phase == _ARTERIAL:
            body.fill(medulla, body.rng.uniform(55, 80))
        body.organs[f"{side} renal pelvis"] = pelvis


def _spleen(body: Body) -> None:
    """Let the spleen be striped in the arterial phase."""
    if body.phase != _ARTERIAL:
        return
    body.begin("spleen stripes")
    period = body.rng.uniform(11, 18)
    stripes = 28 * np.sin((body.x + 0.6 * body.y + 0.8 * body.z) * (2 * np.pi / period))
    np.add(body.hu, stripes.astype(np.float32), out=body.hu, where=body.organs["spleen"])


def _hips(body: Body) -> None:
    body.begin("hips")
    bone = body.rng.uniform(300, 450)
    for _, sign in _SIDES:
        tube(body, ((sign * 92, 12, -262), (sign * 90, 12, -258)), (24, 24), bone)
        tube(body, ((sign * 18, -52, -266), (sign * 70, -20, -262)), (9, 11), bone)
    tube(body, ((0, 78, -205), (0, 90, -262)), (26, 10), bone)
