"""What scanner and kernel make of a detailed body: texture, sharpness, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.body import Array, Body
from dicom_io.phantoms.noise import blurred
from dicom_io.phantoms.scan import Scan

_SHARPENS = 0.6
"""Of what a blur takes away, the part that a sharp kernel adds."""


def paint_texture(body: Body) -> None:
    """Let soft tissue vary slowly by a few HU, as perfusion and beam hardening do."""
    body.begin("texture")
    tissue = body.hu > -200
    for _ in range(2):
        amplitude = body.rng.uniform(2, 5)
        waves = [
            np.cos(axis * (2 * np.pi / body.rng.uniform(25, 70)) + body.rng.uniform(0, 6.3))
            for axis in body.axes()
        ]
        flat = (amplitude * waves[0] * waves[1]).astype(np.float32)
        np.add(body.hu, flat * waves[2].astype(np.float32), out=body.hu, where=tissue)


def reconstructed(
    body: Body, scan: Scan, rng: np.random.Generator, noisier: float = 1.0
) -> NDArray[np.int16]:
    """Blur or sharpen as the kernel does, and add its noise.

    Parameters
    ----------
    body : Body
    scan : Scan
    rng : Generator
    noisier : float
        Times the usual noise.

    Returns
    -------
    ndarray of int16
        In HU.
    """
    hu = body.hu
    if scan.increment_mm < scan.thickness_mm:
        hu = blurred(hu, 0)  # slices overlap
    kernel = _sharp if scan.sharp else _soft
    noise = kernel(rng.standard_normal(hu.shape, dtype=np.float32))
    noise *= np.float32(noisier) * _amplitude(body, scan, rng)
    hu = kernel(hu)
    hu += noise
    np.clip(hu, -1024, 3071, out=hu)
    return np.rint(hu, out=hu).astype(np.int16)


def _soft(values: Array) -> Array:
    return blurred(blurred(values, 1), 2)


def _sharp(values: Array) -> Array:
    return (1 + _SHARPENS) * values - _SHARPENS * _soft(values)


def _amplitude(body: Body, scan: Scan, rng: np.random.Generator) -> Array:
    """Noise in HU: more in thin slices, in wide bodies, and in the middle of them."""
    level = rng.uniform(12, 30) * np.sqrt(min(5 / scan.thickness_mm, 2.5)) * body.build**2
    across = np.exp(-((body.lines[0] / 150) ** 2)) * np.exp(-((body.lines[1] / 110) ** 2))
    # a sharp kernel lets pass about as much again of what is left of white noise
    share = 0.55 if scan.sharp else 1.0
    noise: Array = (share * level * (0.7 + 0.5 * across)).astype(np.float32)
    return noise
