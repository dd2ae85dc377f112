"""Choose the series that a reader would take, with a reason for each that is not taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydicom.multival import MultiValue
from pydicom.uid import UID

from dicom_io.errors import DicomError, NoUsableSeries
from dicom_io.types import Instance, Series, Study
from dicom_io.volume.geometry import Grid, grid_of
from dicom_io.volume.kernels import Sharpness, sharpness
from dicom_io.volume.orientation import Plane, acquisition_plane
from dicom_io.volume.slices import (
    CT_CLASSES,
    Slice,
    in_capitals,
    name_images,
    name_slices,
    slices_of,
    slices_of_instance,
    whole_number,
)
from dicom_io.volume.stacks import split_stacks

FEWEST_SLICES = 5
"""Fewer slices are no volume that a report could be drafted from."""

_WHOLE_COVERAGE = 0.8
_HU_TYPES = (None, "HU", "HU_MOD", "US")

# ImageType values of images whose pixels are no cross-sections in HU (PS3.3 C.8.15.2.1, vendors')
_NO_CROSS_SECTION = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "MIP": "maximum intensity projection",
    "MAX_IP": "maximum intensity projection",
    "MINIP": "minimum intensity projection",
    "MNIP": "minimum intensity projection",
    "MIN_IP": "minimum intensity projection",
    "MPR THICK MIP": "maximum intensity projection",
    "VRT": "volume rendering",
    "VOLREN": "volume rendering",
    "VOLUME_RENDER": "volume rendering",
    "SURFACE_RENDER": "volume rendering",
    "SSD": "volume rendering",
    "PROJECTION IMAGE": "projection",
    "SCREEN SAVE": "screen capture",
    "SCREEN_SAVE": "screen capture",
    "DOSE_INFO": "dose sheet",
    "PATIENT_INFO": "patient protocol",
    "REF_SURVIEW": "localizer",
}


@dataclass(frozen=True, eq=False)
class Rejection:
    """A series, or a stack of one, that was not taken, and why.

    `faulty`: these are CT images that cannot be read, and the series they belong to lacks them.
    """

    series: Series
    reason: str
    faulty: bool = False


@dataclass(frozen=True, eq=False)
class SeriesChoice:
    """The series taken; its instances are exactly those of the stack.

    Parameters
    ----------
    series : Series
        To be given to `build_volume`.
    reason : str
        Why it was taken, one sentence.
    rejected : tuple of Rejection
        Every other series or stack of the study.
    """

    series: Series
    reason: str
    rejected: tuple[Rejection, ...]

    @property
    def instances(self) -> tuple[Instance, ...]:
        return self.series.instances

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What the series taken lacks, because its images cannot be read."""
        uid = self.series.series_instance_uid
        return tuple(
            r.reason for r in self.rejected if r.faulty and r.series.series_instance_uid == uid
        )


def choose_series(study: Study) -> SeriesChoice:
    """Choose what to give to the model.

    Out: everything that is not CT, localizers, captures, projections, stacks of fewer than five
    slices or without a geometry. Of what is left the first in this order wins: primary before
    derived, axial before other planes, whole coverage, soft kernel before sharp, thinner slices,
    more slices, lower series number.

    Raises
    ------
    NoUsableSeries
        Nothing is left; the message lists the reason for every series.
    """
    candidates, rejected = _sorted_candidates(study)
    if not candidates:
        reasons = "; ".join(f"{name_series(r.series)}: {r.reason}" for r in rejected)
        raise NoUsableSeries(f"no series can be given to the model. {reasons or 'No series.'}")
    furthest = _furthest(candidates)
    best, *others = candidates
    rejected += [Rejection(other.series, other.worse_than(best, furthest)) for other in others]
    return SeriesChoice(best.series, f"{name_series(best.series)}: {best.summary}", tuple(rejected))


def usable_series(study: Study) -> tuple[Series, ...]:
    """Every stack that could be given to the model, the one that `choose_series` takes first."""
    return tuple(candidate.series for candidate in _sorted_candidates(study)[0])


def _sorted_candidates(study: Study) -> tuple[list[_Candidate], list[Rejection]]:
    candidates: list[_Candidate] = []
    rejected: list[Rejection] = []
    for series in study.series:
        for found in _candidates(series):
            if isinstance(found, _Candidate):
                candidates.append(found)
            else:
                rejected.append(found)
    furthest = _furthest(candidates)
    return sorted(candidates, key=lambda candidate: candidate.rank(furthest)), rejected


def _furthest(candidates: Sequence[_Candidate]) -> float:
    """The longest stack among those of the best kind and plane, which coverage is compared to."""
    best = min((candidate.rank(0)[:2] for candidate in candidates), default=())
    return max((c.extent_mm for c in candidates if c.rank(0)[:2] == best), default=0.0)


def series_window(series: Series) -> tuple[float, float] | None:
    """The (WindowCenter, WindowWidth) in HU that most slices name first; None where none does."""
    windows: list[tuple[float, float]] = []
    for plane in sorted(slices_of(series), key=lambda plane: plane.number):
        centre, width = plane.attribute("WindowCenter"), plane.attribute("WindowWidth")
        if centre is not None and width is not None and _first(width) >= 1:
            windows.append((_first(centre), _first(width)))
    return Counter(windows).most_common(1)[0][0] if windows else None


def name_series(series: Series) -> str:
    """A series as a PACS administrator finds it: number and size, no description by hand."""
    number = series.header.get("SeriesNumber")
    shown = "series " + (series.series_instance_uid if number is None else str(number)[:12])
    count = len(series.instances)
    return f"{shown} ({count} image{'' if count == 1 else 's'})"


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A stack that is a volume, and what the choice depends on."""

    series: Series
    grid: Grid

    @cached_property
    def plane(self) -> Plane:
        return acquisition_plane(self.grid.affine_lps)

    @property
    def first(self) -> Slice:
        return self.grid.slices[0]

    @property
    def derived(self) -> bool:
        return self.first.image_type[:1] == ("DERIVED",)

    @cached_property
    def sharpness(self) -> Sharpness:
        description = str(self.series.header.get("SeriesDescription") or "")
        return sharpness(self.kernel, description)

    @property
    def kernel(self) -> str:
        return str(self.first.attribute("ConvolutionKernel") or "")

    @property
    def spacing_mm(self) -> float:
        """Mean distance between the slices that are there."""
        return self.extent_mm / (len(self.grid.slices) - 1)

    @property
    def thickness_mm(self) -> float:
        """Thickness of the thickest slice, or the distance between slices where that is larger."""
        return max([self.spacing_mm, *(s.thickness or 0.0 for s in self.grid.slices)])

    @property
    def extent_mm(self) -> float:
        first, last = self.grid.slices[0], self.grid.slices[-1]
        return float((last.position - first.position) @ first.normal)

    @property
    def summary(self) -> str:
        kernel = f"{self.sharpness} kernel" if self.sharpness != "unknown" else "kernel unknown"
        named = f" {self.kernel}" if self.kernel else ""
        kind = "derived" if self.derived else "primary"
        return (
            f"{self.plane}, {kind}, {len(self.grid.slices)} slices of {self.thickness_mm:.3g} mm "
            f"over {self.extent_mm:.0f} mm, {kernel}{named}"
        )

    def rank(self, furthest_mm: float) -> tuple[Any, ...]:
        """Sort key, the best first; the order is that of `_REASONS`."""
        return (
            self.derived,
            self.plane != "axial",
            self.extent_mm < _WHOLE_COVERAGE * furthest_mm,
            ("soft", "unknown", "sharp").index(self.sharpness),
            round(self.thickness_mm, 1),
            -len(self.grid.slices),
            (
                whole_number(self.series.header, "SeriesNumber", 0),
                self.series.series_instance_uid,
                min(plane.number for plane in self.grid.slices),
                min(plane.instance.sop_instance_uid for plane in self.grid.slices),
            ),
        )

    def worse_than(self, best: _Candidate, furthest_mm: float) -> str:
        """The first point in which `best` is better, as a sentence."""
        points = zip(self.rank(furthest_mm), best.rank(furthest_mm), _REASONS, strict=True)
        reason = next((say for mine, its, say in points if mine != its), _REASONS[-1])
        return f"{reason(self, best)} (taken: {name_series(best.series)})"


# one for each point of `_Candidate.rank`, in its order
_REASONS: tuple[Callable[[_Candidate, _Candidate], str], ...] = (
    lambda c, best: "derived, and a primary series exists",
    lambda c, best: f"{c.plane}, and an axial series exists",
    lambda c, best: f"covers {c.extent_mm:.0f} mm only, not {best.extent_mm:.0f} mm",
    lambda c, best: f"{c.sharpness} kernel {c.kernel or '(not named)'}, and a softer one exists",
    lambda c, best: f"slices of {c.thickness_mm:.3g} mm, and thinner ones exist",
    lambda c, best: f"{len(c.grid.slices)} slices, and a stack of more exists",
    lambda c, best: "equal in all that counts, and its number is not the lowest",
)


def _candidates(series: Series) -> Iterator[_Candidate | Rejection]:
    """The stacks of a series, each as a candidate or with the reason against it."""
    refused: dict[str, list[Instance]] = {}
    faulty: dict[str, list[Instance]] = {}
    slices: list[Slice] = []
    for instance in series.instances:
        if reason := _no_ct_image(instance):
            refused.setdefault(reason, []).append(instance)
            continue
        try:
            slices += slices_of_instance(instance)
        except DicomError as error:
            faulty.setdefault(str(error), []).append(instance)
    for reason, instances in refused.items():
        yield Rejection(Series(series.series_instance_uid, tuple(instances)), reason)
    for fault, instances in faulty.items():
        named = f"{name_images(instances)}: {fault}"
        yield Rejection(Series(series.series_instance_uid, tuple(instances)), named, faulty=True)
    stacks = split_stacks(slices)
    if stacks and len(stacks[0]) < FEWEST_SLICES:
        yield Rejection(_series_of(series, slices), _too_few(slices))
        return
    for stack in stacks:
        yield _candidate(_series_of(series, stack), stack)


def _no_ct_image(instance: Instance) -> str | None:
    """Why an instance is no image of a CT volume; None where it may be one."""
    header = instance.header
    if header.get("Modality") != "CT":
        return f"modality {str(header.get('Modality') or 'not stated')[:16]}, not CT"
    if instance.sop_class_uid not in CT_CLASSES:
        return f"{UID(instance.sop_class_uid).name}, not CT images"
    for kind in in_capitals(header.get("ImageType")):
        if name := _NO_CROSS_SECTION.get(kind):
            return name
    return "colour image" if (header.get("SamplesPerPixel") or 1) > 1 else None


def _candidate(series: Series, stack: Sequence[Slice]) -> _Candidate | Rejection:
    rescale_type = stack[0].attribute("RescaleType")
    if rescale_type not in _HU_TYPES:
        return Rejection(series, f"pixel values are {str(rescale_type)[:16]}, not HU")
    for kind in stack[0].image_type:
        if name := _NO_CROSS_SECTION.get(kind):
            return Rejection(series, name)
    if len(stack) < FEWEST_SLICES:
        return Rejection(series, _too_few(stack))
    try:
        return _Candidate(series, grid_of(stack))
    except DicomError as error:
        return Rejection(series, str(error))


def _too_few(slices: Sequence[Slice]) -> str:
    """The number of slices, and what else keeps them from being a volume."""
    number = f"{len(slices)} slice{'' if len(slices) == 1 else 's'} ({name_slices(slices)})"
    reason = f"{number}, where at least {FEWEST_SLICES} must form a stack"
    try:
        notes = grid_of(slices).notes
    except DicomError as error:
        return f"{reason}; {error}"
    return ". ".join([reason, *notes])


def _series_of(series: Series, slices: Sequence[Slice]) -> Series:
    """The instances, or the frames of instances, that `slices` come from, in the series' order."""
    frames: dict[int, list[int | None]] = {}
    for plane in slices:
        frames.setdefault(id(plane.instance), []).append(plane.frame)
    instances = tuple(_limited(i, frames[id(i)]) for i in series.instances if id(i) in frames)
    return Series(series.series_instance_uid, instances)


def _limited(instance: Instance, frames: Sequence[int | None]) -> Instance:
    wanted = tuple(sorted(frame for frame in frames if frame is not None))
    every = len(instance.header.get("PerFrameFunctionalGroupsSequence") or ())
    return instance if len(wanted) == every else replace(instance, frames=wanted)


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, MultiValue) else value)
