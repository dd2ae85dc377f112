"""Head, neck, shoulders and arms of a detailed phantom, and what it lies on."""

from __future__ import annotations

import numpy as np

from dicom_io.phantoms.body import Body
from dicom_io.phantoms.detailed.brush import tube

SHOULDERS = 254.0
"""Height where the trunk ends, in the body's millimetres."""

_AIR, _BONE = -1000.0, 450.0


def paint_surroundings(body: Body, *, arms_down: bool) -> None:
    """Paint what is around the trunk.

    Parameters
    ----------
    body : Body
    arms_down : bool
        Else they lie above the head, out of view.
    """
    body.fill(np.broadcast_to(body.z > SHOULDERS, body.hu.shape), _AIR)
    _neck(body)
    _head(body)
    body.begin("shoulders")
    for sign in (-1, 1):
        tube(body, ((0, -40, 238), (sign * 120, 10, 248)), (6, 6), _BONE)  # clavicle
        if arms_down:
            _arm(body, sign)
    tube(body, ((0, -74, 75), (0, -62, 215)), (9, 9), 260)  # sternum
    _couch(body)


def _arm(body: Body, sign: int) -> None:
    x = sign * (body.half_width + 38)
    y = 20 + body.rng.uniform(-15, 25)
    shoulder, hand = (sign * (body.half_width - 5), 12.0, 225.0), (x, y, -250.0)
    elbow = (x, y, 0.0)
    for ends in ((shoulder, elbow), (elbow, hand)):
        tube(body, ends, (36, 32), -95, body.hu < -500)
        tube(body, ends, (30, 26), 52, body.hu < 0)
        tube(body, ends, (10, 9), 600)


def _neck(body: Body) -> None:
    body.begin("neck")
    width = body.rng.uniform(50, 62)
    tube(body, ((0, 16, 236), (0, 10, 320)), (width, width), 50, body.hu < -900)
    tube(body, ((0, 40, 230), (0, 34, 310)), (15, 15), 0.7 * _BONE)
    tube(body, ((0, -4, 250), (0, -16, 320)), (9, 8), -990)


def _head(body: Body) -> None:
    body.begin("head")
    x, y, z = centre = body.jitter(0, 0, 376, mm=2)
    radii = body.jitter(74, 93, 96, mm=4)
    everywhere = np.ones(body.hu.shape, np.bool_)
    face = body.inside((x, y - 30, z - 52), (58, 62, 52), everywhere)
    body.fill(face & (body.hu < 200), 45)
    skin = body.inside(centre, radii, everywhere)
    body.fill(skin, 30)
    body.paint_shell(centre, tuple(0.95 * r for r in radii), 0.12, 950)
    brain = body.inside(centre, tuple(0.89 * r for r in radii), everywhere)
    body.fill(brain, body.rng.uniform(36, 41))
    body.fill(body.inside(centre, tuple(0.7 * r for r in radii), brain), body.rng.uniform(27, 31))
    size = body.rng.uniform(0.7, 1.4)
    for sign in (-1, 1):
        ventricle = (x + sign * 13, y, z + 8)
        body.fill(body.inside(ventricle, (7 * size, 26 * size, 12 * size), brain), 7)
        sinus = (x + sign * 26, y - 66, z - 38)
        body.fill(body.inside(sinus, (15, 15, 17), face), -950)
        tube(body, ((x + sign * 50, y - 20, z - 72), (x + sign * 14, y - 84, z - 80)), (7, 7), 900)


def _couch(body: Body) -> None:
    """Paint the shell of the table under the patient."""
    body.begin("couch")
    gap = body.rng.uniform(4, 12)
    below = 10 * body.down + 112 * body.build + gap
    height = body.down * body.y - below - 0.0008 * body.x**2
    # carbon fibre around foam
    shell = (np.abs(height) < 3) | (np.abs(height - 26) < 3)
    inside = (height > 0) & (height < 26)
    air = body.hu <= -1000
    body.fill(np.broadcast_to(shell, body.hu.shape) & air, -250)
    body.fill(np.broadcast_to(inside & ~shell, body.hu.shape) & air, -930)
