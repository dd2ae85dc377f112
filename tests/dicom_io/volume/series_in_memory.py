"""Studies of several series without files, for what depends on headers alone."""

from pathlib import Path
from typing import Any

import numpy as np

from dicom_io.types import Instance, Series, Study
from tests.ct import ct_slice

PLANE = np.zeros((64, 64))


def study(*kinds: dict[str, Any]) -> Study:
    """One axial series for each kind, numbered from 1.

    A kind holds `mm` between slices, their `count`, `pixel_mm`, the place of the first slice in
    mm (`start`), and DICOM keywords.
    """
    return Study("1", tuple(_series(number, **kind) for number, kind in enumerate(kinds, 1)))


def _series(
    number: int,
    *,
    mm: float = 3.0,
    count: int = 24,
    pixel_mm: float = 1.0,
    start: float = 0.0,
    **keywords: Any,
) -> Series:
    uid = f"1.2.3.{number}"
    keywords = {"SeriesNumber": number, "SeriesInstanceUID": uid, "SliceThickness": mm, **keywords}
    images = (
        ct_slice(PLANE, (0, 0, start + mm * k), number=k + 1, pixel_mm=(pixel_mm,) * 2, **keywords)
        for k in range(count)
    )
    return Series(
        uid, tuple(Instance(Path("memory"), image, pixel_data=(0, 8192)) for image in images)
    )
