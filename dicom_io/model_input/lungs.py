"""Where the lungs are along a volume: the search that NV-Reason-CT's input is centred by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# All of the authors' processor (NV-Reason-CT, processor.py)
BODY_HU = -500
SMALLEST_SHARE = 0.1
"""Air that has a smaller part of the largest piece's volume is bowel or trachea."""
LARGEST_GAP_MM = 40
LONGEST_MM = 500
LEAST_ML = 250


@dataclass(frozen=True)
class Piece:
    """Connected air inside the body: first and last slice, and how many voxels."""

    low: int
    high: int
    size: int


def lung_slices(hu: NDArray[np.float32], spacing_mm: float) -> tuple[int, int] | None:
    """Return the lowest and the highest slice of the lungs; None where they are not found.

    Parameters
    ----------
    hu : ndarray, shape (D, H, W)
        Slices foot to head.
    spacing_mm : float
        Of all three axes.
    """
    inside = np.stack([_enclosed(plane > BODY_HU) for plane in hu])
    labels, count = ndimage.label(inside)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if count == 0:
        return None
    extents = ndimage.find_objects(labels)
    pieces = [
        Piece(extent[0].start, extent[0].stop - 1, int(size))
        for extent, size in zip(extents, sizes, strict=True)
        if size >= SMALLEST_SHARE * sizes.max()
    ]
    low, high = _joined(pieces, spacing_mm)
    low = max(low, high - int(LONGEST_MM / spacing_mm) + 1)
    found = sum(piece.size for piece in pieces if piece.high >= low)
    if found * spacing_mm**3 / 1000 < LEAST_ML:
        return None
    return low, high


def _enclosed(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Air of a slice that the body goes around."""
    labels, _ = ndimage.label(~body)
    outside = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return ~body & ~np.isin(labels, outside)


def _joined(pieces: list[Piece], spacing_mm: float) -> tuple[int, int]:
    """Begin with the piece that reaches highest, and add what lies closely below."""
    first, *rest = sorted(pieces, key=lambda piece: (-piece.high, -piece.size))
    low, high = first.low, first.high
    for piece in rest:
        gap, extent = low - piece.high - 1, high - min(low, piece.low) + 1
        if gap * spacing_mm <= LARGEST_GAP_MM and extent * spacing_mm <= LONGEST_MM:
            low = min(low, piece.low)
    return low, high
