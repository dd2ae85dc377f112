"""Choose the series that a reader would take, with a reason for each that is not taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID

from dicom_io.errors import DicomError, NoUsableSeries
from dicom_io.types import Instance, Series, Study
from dicom_io.values import whole_number
from dicom_io.volume.geometry import grid_of
from dicom_io.volume.grouping import split_stacks
from dicom_io.volume.slices import (
    CT_CLASSES,
    Slice,
    in_capitals,
    name_images,
    name_slices,
    slices_of_instance,
)
from dicom_io.volume.stacks import Stack, restricted

FEWEST_SLICES = 5
"""Fewer slices are no volume that a report could be drafted from."""

# Reconstructions of one range lose a few slices at its ends, never a fifth of it
_WHOLE_COVERAGE = 0.8
# RescaleType (PS3.3 C.11.1.1.2); "US" is unspecified, which older CT write beside HU
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
    """The stack taken, and why every other one was not.

    Parameters
    ----------
    stack : Stack
        To be given to `build_volume`.
    reason : str
        Why it was taken, one sentence.
    rejected : tuple of Rejection
        Every other series or stack of the study.
    """

    stack: Stack
    reason: str
    rejected: tuple[Rejection, ...]

    @property
    def series(self) -> Series:
        """The series taken; its instances are exactly those of the stack."""
        return self.stack.series

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
    usable, rejected = _sorted_stacks(study)
    if not usable:
        reasons = "; ".join(f"{name_series(r.series)}: {r.reason}" for r in rejected)
        raise NoUsableSeries(f"no series can be given to the model. {reasons or 'No series.'}")
    furthest = _furthest(usable)
    best, *others = usable
    rejected += [Rejection(other.series, _drawback(other, best, furthest)) for other in others]
    return SeriesChoice(best, f"{name_series(best.series)}: {_summary(best)}", tuple(rejected))


def usable_stacks(study: Study) -> tuple[Stack, ...]:
    """Every stack that could be given to the model, the one that `choose_series` takes first."""
    return tuple(_sorted_stacks(study)[0])


def _sorted_stacks(study: Study) -> tuple[list[Stack], list[Rejection]]:
    found = [one for series in study.series for one in _stacks(series)]
    usable = [one for one in found if isinstance(one, Stack)]
    furthest = _furthest(usable)
    usable.sort(key=lambda stack: _rank(stack, furthest))
    return usable, [one for one in found if isinstance(one, Rejection)]


def _furthest(stacks: Sequence[Stack]) -> float:
    """The longest stack among those of the best kind and plane, which coverage is compared to."""
    best = min((_rank(stack, 0)[:2] for stack in stacks), default=())
    return max((stack.extent_mm for stack in stacks if _rank(stack, 0)[:2] == best), default=0.0)


def name_series(series: Series) -> str:
    """A series as a PACS administrator finds it: number and size, no description by hand."""
    number = series.header.get("SeriesNumber")
    shown = "series " + (series.series_instance_uid if number is None else str(number)[:12])
    count = len(series.instances)
    return f"{shown} ({count} image{'' if count == 1 else 's'})"


def _summary(stack: Stack) -> str:
    kernel = f"{stack.sharpness} kernel" if stack.sharpness != "unknown" else "kernel unknown"
    named = f" {stack.kernel}" if stack.kernel else ""
    kind = "derived" if stack.derived else "primary"
    return (
        f"{stack.plane}, {kind}, {len(stack.slices)} slices of {stack.thickness_mm:.3g} mm "
        f"over {stack.extent_mm:.0f} mm, {kernel}{named}"
    )


def _rank(stack: Stack, furthest_mm: float) -> tuple[Any, ...]:
    """Sort key, the best first; the order is that of `_REASONS`."""
    return (
        stack.derived,
        stack.plane != "axial",
        stack.extent_mm < _WHOLE_COVERAGE * furthest_mm,
        ("soft", "unknown", "sharp").index(stack.sharpness),
        round(stack.thickness_mm, 1),
        -len(stack.slices),
        (
            whole_number(stack.series.header, "SeriesNumber", 0),
            stack.series.series_instance_uid,
            min(one.number for one in stack.slices),
            min(instance.sop_instance_uid for instance in stack.series.instances),
        ),
    )


def _drawback(stack: Stack, best: Stack, furthest_mm: float) -> str:
    """The first point in which `best` is better, as a sentence."""
    points = zip(_rank(stack, furthest_mm), _rank(best, furthest_mm), _REASONS, strict=True)
    reason = next((say for mine, its, say in points if mine != its), _REASONS[-1])
    return f"{reason(stack, best)} (taken: {name_series(best.series)})"


# one for each point of `_rank`, in its order
_REASONS: tuple[Callable[[Stack, Stack], str], ...] = (
    lambda s, best: "derived, and a primary series exists",
    lambda s, best: f"{s.plane}, and an axial series exists",
    lambda s, best: f"covers {s.extent_mm:.0f} mm only, not {best.extent_mm:.0f} mm",
    lambda s, best: f"{s.sharpness} kernel {s.kernel or '(not named)'}, and a softer one exists",
    lambda s, best: f"slices of {s.thickness_mm:.3g} mm, and thinner ones exist",
    lambda s, best: f"{len(s.slices)} slices, and a stack of more exists",
    lambda s, best: "equal in all that counts, and its number is not the lowest",
)


def _stacks(series: Series) -> Iterator[Stack | Rejection]:
    """The stacks of a series, each usable or with the reason against it."""
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
        yield Rejection(restricted(series, slices), _too_few(slices))
        return
    for stack in stacks:
        yield _stack(restricted(series, stack), stack)


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
    return "colour image" if whole_number(header, "SamplesPerPixel", 1) > 1 else None


def _stack(series: Series, slices: Sequence[Slice]) -> Stack | Rejection:
    rescale_type = slices[0].attribute("RescaleType")
    if rescale_type not in _HU_TYPES:
        return Rejection(series, f"pixel values are {str(rescale_type)[:16]}, not HU")
    for kind in slices[0].image_type:
        if name := _NO_CROSS_SECTION.get(kind):
            return Rejection(series, name)
    if len(slices) < FEWEST_SLICES:
        return Rejection(series, _too_few(slices))
    try:
        return Stack(series, grid_of(slices))
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
