"""Trilinear resizing of one volume, line by line, without a float copy of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
SliceReader = Callable[[NDArray[Any]], NDArray[Any]]


def linear_taps(n_in: int, n_out: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Neighbours and weights of linear interpolation with pixel-centre alignment.

    The rule is that of `align_corners=False`: output index o lies at (o + 0.5) n_in / n_out - 0.5,
    clamped to the first and last sample.

    Returns
    -------
    taps : ndarray of intp, shape (2, n_out)
        Index of the sample before and after.
    weights : ndarray of float32, shape (2, n_out)
        Their weights; each column sums to one.
    """
    at = ((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5).clip(0, n_in - 1)
    before = np.floor(at).astype(np.intp)
    after = np.minimum(before + 1, n_in - 1)
    fraction = (at - before).astype(np.float32)
    return np.stack([before, after]), np.stack([1 - fraction, fraction])


def resize_trilinear(
    stack: NDArray[Any], size: tuple[int, int, int], value_of: SliceReader
) -> NDArray[np.float32]:
    """Resize `stack` to `size`; every slice passes through `value_of` before it is interpolated.

    `value_of` (clipping, a curve) is not linear, so it must come before the interpolation; applied
    slice by slice it costs no memory.

    Parameters
    ----------
    stack : ndarray, shape (D, H, W)
        A view is fine.
    size : tuple of int
        (D', H', W').
    value_of : callable
        (H, W) as stored -> (H, W) of numbers to interpolate.

    Returns
    -------
    ndarray of float32, shape (D', H', W')
    """
    resized = np.empty(size, np.float32)
    in_plane = _InPlane(stack.shape[1:], size[1:])
    taps, weights = linear_taps(stack.shape[0], size[0])
    recent: dict[int, NDArray[np.float32]] = {}
    for o, (before, after) in enumerate(taps.T):
        # neighbouring outputs share source slices: keep the last two
        recent = {
            i: recent[i] if i in recent else in_plane(value_of(stack[i])) for i in (before, after)
        }
        np.multiply(recent[before], weights[0, o], out=resized[o])
        if weights[1, o]:
            resized[o] += recent[after] * weights[1, o]
    return resized


class _InPlane:
    """Bilinear resizing of slices of one shape: rows first, which are contiguous, then columns."""

    def __init__(self, shape: tuple[int, ...], size: tuple[int, ...]) -> None:
        self.rows, row_weights = linear_taps(shape[0], size[0])
        self.row_weights = row_weights[:, :, None]
        self.columns, self.column_weights = linear_taps(shape[1], size[1])

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        lines = np.multiply(values[self.rows[0]], self.row_weights[0], dtype=np.float32)
        lines += np.multiply(values[self.rows[1]], self.row_weights[1], dtype=np.float32)
        pixels: NDArray[np.float32] = lines.take(self.columns[0], axis=1)
        pixels *= self.column_weights[0]
        after = lines.take(self.columns[1], axis=1)
        after *= self.column_weights[1]
        pixels += after
        return pixels
