"""What the authors' code does to images at random; for the recipe `authors` alone.

Turns and flips change left and right, and the plane, against what the report says.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

TURN, FLIP, INTENSITY = 0.5, 0.1, 0.5
"""How likely each is."""

SPREAD = 0.1
"""Largest change of the scale of the grey values, and of their level."""


def augment(volume: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn, flip, scale and shift, each or not: (1, D, H, W) -> the same shape where H = W."""
    if rng.random() < TURN:
        volume = torch.rot90(volume, int(rng.integers(1, 4)), dims=(2, 3))
    for axis in (1, 2, 3):
        if rng.random() < FLIP:
            volume = volume.flip(axis)
    if rng.random() < INTENSITY:
        volume = volume * (1 + rng.uniform(-SPREAD, SPREAD))
    if rng.random() < INTENSITY:
        volume = volume + rng.uniform(-SPREAD, SPREAD)
    return volume.contiguous()
