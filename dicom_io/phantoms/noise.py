"""What a scanner adds to a phantom: blur and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def scanned(hu: Array, rng: np.random.Generator, noisier: float = 1.0) -> NDArray[np.int16]:
    """Blur a little, as a scanner does, and add noise.

    Parameters
    ----------
    hu : ndarray
    rng : numpy.random.Generator
    noisier : float
        Times the usual noise.
    """
    for axis in (1, 2):
        hu = blurred(hu, axis)
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    noise = blurred(blurred(noise, 1), 2) * (noisier * rng.uniform(14, 38))
    scanned: NDArray[np.int16] = np.rint(np.clip(hu + noise, -1024, 3071)).astype(np.int16)
    return scanned


def blurred(values: Array, axis: int) -> Array:
    """Average with both neighbours along an axis, weights 1 2 1."""
    out = 0.5 * values
    left = [slice(None)] * 3
    right = [slice(None)] * 3
    left[axis], right[axis] = slice(None, -1), slice(1, None)
    out[tuple(right)] += 0.25 * values[tuple(left)]
    out[tuple(left)] += 0.25 * values[tuple(right)]
    return out
