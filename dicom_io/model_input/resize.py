"""Trilinear resizing of one volume, line by line, without a float copy of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
Positions = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
SliceReader = Callable[[NDArray[Any]], NDArray[Any]]


def pixel_centres(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Where samples of a resized axis lie: (o + 0.5) n_in / n_out - 0.5.

    The rule of `align_corners=False`.
    """
    return np.asarray((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, np.float64)


def linear_taps(n_in: int, at: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Neighbours and weights of linear interpolation.

    Parameters
    ----------
    n_in : int
        Samples of the axis.
    at : ndarray
        Where to interpolate, in indices of the samples; clamped to the first and last one.

    Returns
    -------
    taps : ndarray of intp, shape (2, n_out)
        Index of the sample before and after.
    weights : ndarray of float32, shape (2, n_out)
        Their weights; each column sums to one.
    """
    at = at.clip(0, n_in - 1)
    before = np.floor(at).astype(np.intp)
    after = np.minimum(before + 1, n_in - 1)
    fraction = (at - before).astype(np.float32)
    return np.stack([before, after]), np.stack([1 - fraction, fraction])


def resize_trilinear(
    stack: NDArray[Any], size: tuple[int, int, int], value_of: SliceReader
) -> NDArray[np.float32]:
    """Resize `stack` to `size`, pixel centres aligned; see `resample_trilinear`.

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
    d, h, w = (pixel_centres(n, m) for n, m in zip(stack.shape, size, strict=True))
    return resample_trilinear(stack, (d, h, w), value_of)


def chosen_voxels(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Which samples of an axis are taken: ⌊o n_in / n_out⌋.

    In float32, as torch's mode "nearest" computes it.
    """
    step = np.float32(n_in) / np.float32(n_out)
    chosen = np.floor(np.arange(n_out, dtype=np.float32) * step)
    return np.asarray(chosen.clip(max=n_in - 1), np.float64)


def resize_nearest(
    stack: NDArray[Any], size: tuple[int, int, int], value_of: SliceReader
) -> NDArray[np.float32]:
    """Choose voxels along each axis; see `chosen_voxels`.

    Parameters
    ----------
    stack : ndarray, shape (D, H, W)
        A view is fine.
    size : tuple of int
        (D', H', W').
    value_of : callable
        (H, W) as stored -> (H, W) of numbers.

    Returns
    -------
    ndarray of float32, shape (D', H', W')
    """
    d, h, w = (chosen_voxels(n, m) for n, m in zip(stack.shape, size, strict=True))
    return resample_trilinear(stack, (d, h, w), value_of)


def resample_trilinear(
    stack: NDArray[Any], at: Positions, value_of: SliceReader
) -> NDArray[np.float32]:
    """Interpolate at a grid; every slice passes through `value_of` before it is interpolated.

    `value_of` (clipping, a curve) is not linear, so it must come before the interpolation; applied
    slice by slice it costs no memory.

    Parameters
    ----------
    stack : ndarray, shape (D, H, W)
        A view is fine.
    at : three arrays
        Where the grid lies along D, H and W, in indices of `stack`; clamped to it.
    value_of : callable
        (H, W) as stored -> (H, W) of numbers to interpolate.

    Returns
    -------
    ndarray of float32, shape (len(at[0]), len(at[1]), len(at[2]))
    """
    resized = np.empty([len(one) for one in at], np.float32)
    in_plane = _InPlane(stack.shape[1:], at[1:])
    taps, weights = linear_taps(stack.shape[0], at[0])
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

    def __init__(self, shape: tuple[int, ...], at: tuple[NDArray[np.float64], ...]) -> None:
        self.rows, row_weights = linear_taps(shape[0], at[0])
        self.row_weights = row_weights[:, :, None]
        self.columns, self.column_weights = linear_taps(shape[1], at[1])

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        lines = np.multiply(values[self.rows[0]], self.row_weights[0], dtype=np.float32)
        lines += np.multiply(values[self.rows[1]], self.row_weights[1], dtype=np.float32)
        pixels: NDArray[np.float32] = lines.take(self.columns[0], axis=1)
        pixels *= self.column_weights[0]
        after = lines.take(self.columns[1], axis=1)
        after *= self.column_weights[1]
        pixels += after
        return pixels
