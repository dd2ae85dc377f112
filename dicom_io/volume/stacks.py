"""The slices that make one volume, parsed once: from the choice of a series to its volume."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dicom_io.slices.content import Energy, is_attenuation_correction, phase_distance
from dicom_io.slices.frames import slices_of
from dicom_io.slices.slices import Slice
from dicom_io.types import Instance, Series
from dicom_io.volume.geometry import Grid, grid_of
from dicom_io.volume.grouping import ORIENTATION_TOLERANCE
from dicom_io.volume.kernels import Sharpness, sharpness
from dicom_io.volume.orientation import Plane, acquisition_plane


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices on a grid, and what the choice between stacks depends on.

    Parameters
    ----------
    series : Series
        Exactly the instances, or the frames of instances, that the slices come from.
    grid : Grid
        The slices in order, and how they become a volume.
    """

    series: Series
    grid: Grid

    @property
    def slices(self) -> tuple[Slice, ...]:
        return self.grid.slices

    @cached_property
    def plane(self) -> Plane:
        return acquisition_plane(self.grid.affine_lps)

    @cached_property
    def derived(self) -> bool:
        """Whether most slices are; a series may hold both kinds over one range."""
        derived = sum(one.image_type[:1] == ("DERIVED",) for one in self.slices)
        return 2 * derived > len(self.slices)

    @property
    def lossy(self) -> bool:
        """Whether the pixels lost something to compression, at any time (PS3.3 C.7.6.1.1.5)."""
        return self.slices[0].text_of("LossyImageCompression").strip() == "01"

    @property
    def energy(self) -> Energy:
        return self.slices[0].energy

    @cached_property
    def is_attenuation_correction(self) -> bool:
        return is_attenuation_correction(self.description)

    @cached_property
    def phase_distance(self) -> float:
        """How far its cardiac phase is from the calmest, in tens of percent of the cycle."""
        percent = self.slices[0].number_of("NominalPercentageOfCardiacPhase")
        return phase_distance(percent, self.description)

    @property
    def description(self) -> str:
        return self.slices[0].text_of("SeriesDescription")

    @property
    def kernel(self) -> str:
        return self.slices[0].kernel

    @cached_property
    def sharpness(self) -> Sharpness:
        return sharpness(self.kernel, self.description)

    @property
    def extent_mm(self) -> float:
        """From the first slice to the last."""
        first, last = self.slices[0], self.slices[-1]
        return float((last.position - first.position) @ first.normal)

    @property
    def field_mm(self) -> float:
        """Side of a square as large as a slice."""
        one = self.slices[0]
        return math.sqrt(math.prod(one.shape) * math.prod(one.pixel_spacing))

    def beyond_mm(self, slices: Sequence[Slice]) -> float:
        """How far parallel slices reach beyond the stack at its ends; 0 where they do not."""
        normal = self.slices[0].normal
        if abs(slices[0].normal @ normal) < np.cos(ORIENTATION_TOLERANCE):
            return 0.0
        along = np.array([one.position for one in slices]) @ normal
        first, last = self.slices[0].position @ normal, self.slices[-1].position @ normal
        return float(max(first - along.min(), along.max() - last, 0.0))

    def is_beside(self, other: Stack) -> bool:
        """Whether it shows another range of the body than `other`: at most a slice is common."""
        if self.slices[0].text_of("FrameOfReferenceUID") != other.slices[0].text_of(
            "FrameOfReferenceUID"
        ):
            return False  # nobody knows where one lies to the other
        step_mm = other.extent_mm / (len(other.slices) - 1)
        beyond_mm = other.beyond_mm(self.slices)
        return beyond_mm > 0 and beyond_mm > self.extent_mm - step_mm

    @cached_property
    def thickness_mm(self) -> float:
        """Thickness of the thickest slice, or the mean distance of the slices if that is larger."""
        spacing_mm = self.extent_mm / (len(self.slices) - 1)
        return max([spacing_mm, *(one.thickness or 0.0 for one in self.slices)])

    @cached_property
    def window(self) -> tuple[float, float] | None:
        """The (WindowCenter, WindowWidth) in HU that most slices name first; None if none does."""
        windows: list[tuple[float, float]] = []
        for one in sorted(self.slices, key=lambda one: one.number):
            centre, width = one.number_of("WindowCenter"), one.number_of("WindowWidth")
            if centre is not None and width is not None and width >= 1:
                windows.append((centre, width))
        return Counter(windows).most_common(1)[0][0] if windows else None


def stack_of(series: Series) -> Stack:
    """Parse a series that is one stack; `series.choose_series` separates mixed ones.

    Raises
    ------
    GeometryError
        The slices are of several kinds, share positions, or are fewer than two.
    IncompleteSeries
        Slices are missing that cannot be interpolated, or pixel data is cut off.
    MissingAttribute
        A slice lacks position, orientation, spacing or rescaling.
    """
    return Stack(series, grid_of(slices_of(series)))


def restricted(series: Series, slices: Sequence[Slice]) -> Series:
    """The instances, or the frames of instances, that `slices` come from, in the series' order."""
    frames: dict[int, list[int | None]] = {}
    for one in slices:
        frames.setdefault(id(one.instance), []).append(one.frame)
    instances = tuple(_limited(i, frames[id(i)]) for i in series.instances if id(i) in frames)
    return Series(series.series_instance_uid, instances)


def _limited(instance: Instance, frames: Sequence[int | None]) -> Instance:
    wanted = tuple(sorted(frame for frame in frames if frame is not None))
    every = len(instance.header.get("PerFrameFunctionalGroupsSequence") or ())
    return instance if len(wanted) == every else replace(instance, frames=wanted)
