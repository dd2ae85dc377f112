"""HU to the model's grey values: a window or a curve, applied to stored values slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """A rising piecewise linear map from HU to [0, 1], constant outside its knots."""

    hu: tuple[float, ...]
    value: tuple[float, ...]

    @property
    def bounds(self) -> tuple[float, float]:
        return self.hu[0], self.hu[-1]

    @property
    def is_window(self) -> bool:
        """Whether it is one straight line, so that interpolation may come before it."""
        return len(self.hu) == 2


def curve_of(
    window: tuple[float, float], companding: tuple[tuple[float, float], ...] | None = None
) -> Curve:
    """The curve of a (centre, width) window, or of companding knots where there are any.

    Raises
    ------
    ValueError
        The width is not positive, or the knots do not rise from 0 to 1.
    """
    if companding is None:
        centre, width = window
        if not width > 0:
            raise ValueError(f"window width must be positive, got {width}")
        return Curve((centre - width / 2, centre + width / 2), (0.0, 1.0))
    hu, value = (tuple(float(x) for x in column) for column in zip(*companding, strict=True))
    rises = len(hu) >= 2 and min(np.diff(hu)) > 0 and min(np.diff(value)) > 0
    if not rises or value[0] != 0 or value[-1] != 1:
        raise ValueError("companding knots must rise in HU and in value, from 0 to 1")
    return Curve(hu, value)


class Intensity:
    """The curve, then min–max over [bottom, top] HU, split around a linear interpolation.

    `of_slice` does what is not linear and must come before interpolation: clipping, or the lookup
    of a curve. `finish` does the rest on the small result.

    Parameters
    ----------
    curve : Curve
        The window or curve.
    bottom, top : float
        HU that become 0 and 1; within the curve's bounds. An empty range makes everything 0.
    """

    def __init__(self, curve: Curve, bottom: float, top: float) -> None:
        self.curve = curve
        self.clip_to: tuple[Any, Any] = (np.float32(curve.hu[0]), np.float32(curve.hu[-1]))
        ends = (bottom, top) if curve.is_window else np.interp((bottom, top), curve.hu, curve.value)
        self.offset = float(ends[0])
        self.scale = 1.0 / float(ends[1] - ends[0]) if ends[1] > ends[0] else 0.0
        if all(end.is_integer() and abs(end) < 2**15 for end in curve.bounds):
            self.clip_to = (np.int16(curve.hu[0]), np.int16(curve.hu[-1]))
        if not curve.is_window:
            self.first = int(np.floor(curve.hu[0]))
            steps = np.arange(self.first, int(np.ceil(curve.hu[-1])) + 1)
            self.table = np.interp(steps, curve.hu, curve.value).astype(np.float32)

    def of_slice(self, hu: NDArray[Any]) -> NDArray[Any]:
        """(H, W) HU -> (H, W) values that are linear in the final grey value."""
        values: NDArray[Any]
        if self.curve.is_window:
            values = np.clip(hu, *self.clip_to)
        elif hu.dtype == np.int16:
            values = self.table.take(hu.astype(np.int32) - self.first, mode="clip")
        else:
            values = np.interp(hu, self.curve.hu, self.curve.value).astype(np.float32)
        return values

    def finish(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale to [0, 1] in place."""
        values -= np.float32(self.offset)
        values *= np.float32(self.scale)
        # rounding of the weights may leave 1 + 1e-7
        return np.clip(values, 0, 1, out=values)
