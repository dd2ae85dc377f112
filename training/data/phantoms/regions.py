"""Where the findings of a phantom lie in its model input: coarse cells, as a store keeps them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

CELL = 8
"""Voxels along each side of a cell: as coarse as stage 1 of the vision tower."""

Cells = NDArray[np.bool_]

Size = tuple[int, int, int]


def grid(size: Sequence[int]) -> Size:
    """Return how many cells an input of (D, H, W) voxels has along each axis."""
    d, h, w = (ceil(n / CELL) for n in size)
    return d, h, w


def cells_of(region: Cells, to_input: NDArray[np.float64], size: Sequence[int]) -> Cells:
    """Mark the cells of a model input that hold a voxel of a region.

    Parameters
    ----------
    region : ndarray of bool
        As the volume lies.
    to_input : ndarray, shape (4, 4)
        From indices of the volume to those of the input.
    size : sequence of int
        (D, H, W) of the input.
    """
    shape = grid(size)
    index = np.argwhere(region) @ to_input[:3, :3].T + to_input[:3, 3]
    # a voxel reaches half its width to each side of its index
    cell = np.floor((index + 0.5) / CELL).astype(np.int64)
    cell = cell[((cell >= 0) & (cell < shape)).all(axis=1)]
    marked = np.zeros(shape, np.bool_)
    marked[tuple(cell.T)] = True
    return marked


def packed(regions: Mapping[str, Cells]) -> dict[str, str]:
    """Write cells as text that JSON can hold, eight to a byte."""
    return {
        name: b64encode(np.packbits(cells).tobytes()).decode() for name, cells in regions.items()
    }


def unpacked(texts: Mapping[str, str], names: Sequence[str], size: Sequence[int]) -> Cells:
    """Read cells back, (names, d, h, w); a finding that is not there has none.

    Parameters
    ----------
    texts : mapping
        As `packed` writes it.
    names : sequence of str
        Findings, in the order that is wanted.
    size : sequence of int
        (D, H, W) of the input.
    """
    shape = grid(size)
    cells = np.zeros((len(names), *shape), np.bool_)
    for number, name in enumerate(names):
        if name in texts:
            bits = np.frombuffer(b64decode(texts[name]), np.uint8)
            cells[number] = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)
    return cells
