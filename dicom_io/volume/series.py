"""Choose the series that a reader would take, with a reason for each that is not taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.uid import UID

from dicom_io.errors import DicomError, IncompleteSeries, NothingToDraft, NoUsableSeries
from dicom_io.slices.content import no_cross_section, no_hu
from dicom_io.slices.copies import without_copies
from dicom_io.slices.frames import readable_slices
from dicom_io.slices.gaps import MOST_MISSING_SHARE, MOST_MISSING_TOGETHER
from dicom_io.slices.slices import (
    CT_CLASSES,
    Slice,
    in_capitals,
    name_images,
    name_slices,
    ranges,
)
from dicom_io.types import Instance, Series, Study
from dicom_io.values import whole_number
from dicom_io.volume.choice import FEWEST_SLICES, Rejection, SeriesChoice, best_of
from dicom_io.volume.geometry import grid_of
from dicom_io.volume.grouping import split_stacks
from dicom_io.volume.ranking import ranked
from dicom_io.volume.stacks import Stack, restricted


def choose_series(study: Study) -> SeriesChoice:
    """Choose what to give to the model.

    Out: everything that is not CT, localizers, captures, projections, maps of materials or
    perfusion, stacks of fewer than five slices or without a geometry. Of what is left the first in
    this order wins: axial before other planes, diagnostic before attenuation correction, the whole
    field and the whole length before parts of them, the usual energy, the calmest phase of the
    heart, no sharp kernel, primary before derived, soft kernel before unknown, thinner slices, more
    slices, lower series number.

    Raises
    ------
    NoUsableSeries
        Nothing is left; the message lists the reason for every series. `NothingToDraft` where
        nothing is a CT image but localizers.
    """
    found = [one for series in study.series for one in _stacks(series)]
    try:
        return best_of(
            ranked([one for one in found if isinstance(one, Stack)]),
            [one for one in found if isinstance(one, Rejection)],
        )
    except NoUsableSeries as error:
        images = (instance for series in study.series for instance in series.instances)
        if study.damaged or not all(map(_no_ct_image, images)):
            raise
        raise NothingToDraft(str(error)) from None


def usable_stacks(study: Study) -> tuple[Stack, ...]:
    """Every stack that could be given to the model, the one that `choose_series` takes first."""
    found = [one for series in study.series for one in _stacks(series)]
    return tuple(ranked([one for one in found if isinstance(one, Stack)]))


def _stacks(series: Series) -> Iterator[Stack | Rejection]:
    """The stacks of a series, each usable or with the reason against it."""
    read, rejections = _read(series)
    yield from rejections
    slices, copies, contradicting = without_copies(read)
    yield from _set_aside(series, slices, copies, contradicting)
    stacks = split_stacks(slices)
    if stacks and len(stacks[0]) < FEWEST_SLICES:
        yield Rejection(restricted(series, slices), _too_few(slices), tuple(slices))
        return
    for stack in stacks:
        yield _stack(restricted(series, stack), stack)


def _read(series: Series) -> tuple[list[Slice], list[Rejection]]:
    """The slices of a series, and why each other image is none."""
    uid = series.series_instance_uid
    refused: dict[str, list[Instance]] = {}
    faulty: dict[str, list[Instance]] = {}
    slices: list[Slice] = []
    rejections: list[Rejection] = []
    for instance in series.instances:
        if reason := _no_ct_image(instance):
            refused.setdefault(reason, []).append(instance)
            continue
        try:
            frames, lost = _enough_of(instance)
        except DicomError as error:
            faulty.setdefault(str(error), []).append(instance)
            continue
        slices += frames
        if lost:
            named = f"{name_images([instance])}: {lost}"
            rejections.append(Rejection(Series(uid, (instance,)), named, faulty=True))
    for reason, instances in refused.items():
        # beside images that are read, an image is lost to its series
        beside = bool(slices) and not all(map(_shows_no_cross_section, instances))
        named = f"{name_images(instances)}: {reason}" if beside else reason
        rejections.append(Rejection(Series(uid, tuple(instances)), named, faulty=beside))
    well_read = {_identity(one.instance) for one in slices}
    for fault, copies in faulty.items():
        if instances := [one for one in copies if _identity(one) not in well_read]:
            named = f"{name_images(instances)}: {fault}"
            rejections.append(Rejection(Series(uid, tuple(instances)), named, faulty=True))
    return slices, rejections


def _set_aside(
    series: Series,
    slices: Sequence[Slice],
    copies: Sequence[Slice],
    contradicting: Sequence[Slice],
) -> Iterator[Rejection]:
    """What `without_copies` left out; equal objects under one UID are not worth a word."""
    known = {(one.instance.sop_instance_uid, one.frame) for one in slices}
    again = [one for one in copies if (one.instance.sop_instance_uid, one.frame) not in known]
    if again:
        reason = f"{name_slices(again)}: copies of images that are read, under other UIDs"
        yield Rejection(restricted(series, again), reason)
    if contradicting:
        count = f"{len(contradicting)} image{'' if len(contradicting) == 1 else 's'} set aside"
        reason = (
            f"{count} ({name_slices(contradicting)}): another image has the same SOP Instance UID "
            "and place, and other pixels"
        )
        yield Rejection(restricted(series, contradicting), reason, faulty=True)


def _enough_of(instance: Instance) -> tuple[tuple[Slice, ...], str]:
    """The slices of an object, and what a reader must know of frames that cannot be read."""
    slices, faults = readable_slices(instance)
    if not faults:
        return slices, ""
    frames: dict[str, set[int]] = {}
    for frame, error in faults.items():
        frames.setdefault(str(error), set()).add(frame)
    count = len(faults) + len(slices)
    reasons = "; ".join(f"{ranges('frame', each)}: {why}" for why, each in frames.items())
    lost = f"{len(faults)} of {count} frames cannot be read ({reasons})"
    if len(faults) > max(MOST_MISSING_TOGETHER, MOST_MISSING_SHARE * count):
        raise IncompleteSeries(lost)
    return slices, lost


def _identity(instance: Instance) -> tuple[str, int]:
    """What a damaged copy shares with its original; the UID alone may stand for many images."""
    return instance.sop_instance_uid, whole_number(instance.header, "InstanceNumber", 0)


def _no_ct_image(instance: Instance) -> str | None:
    """Why an instance is no image of a CT volume; None where it may be one."""
    header = instance.header
    modality = {value for value in in_capitals(header.get("Modality")) if value}
    of_ct = instance.sop_class_uid in CT_CLASSES
    if modality != {"CT"} and (modality or not of_ct):  # the class says enough
        return f"modality {str(header.get('Modality') or 'not stated')[:16]}, not CT"
    if not of_ct:
        return f"{UID(instance.sop_class_uid).name}, not CT images"
    if kind := _shows_no_cross_section(instance):
        return kind
    # RGB and what else was ever defined (PS3.3 C.7.6.3.1.2); other numbers are nonsense
    return "colour image" if whole_number(header, "SamplesPerPixel", 1) in (2, 3, 4) else None


def _shows_no_cross_section(instance: Instance) -> str | None:
    header = instance.header
    description = str(header.get("SeriesDescription") or "")
    return no_cross_section(in_capitals(header.get("ImageType")), description)


def _stack(series: Series, slices: tuple[Slice, ...]) -> Stack | Rejection:
    first = slices[0]
    if first.unit:
        return Rejection(series, f"pixel values are {first.unit}, not HU")
    description = first.text_of("SeriesDescription")
    if kind := no_cross_section(first.image_type, description):
        return Rejection(series, kind)
    if values := no_hu(first.image_type, description):
        return Rejection(series, f"pixel values are {values}, not HU as measured")
    if len(slices) < FEWEST_SLICES:
        return Rejection(series, _too_few(slices), slices)
    try:
        return Stack(series, grid_of(slices))
    except IncompleteSeries as error:
        return Rejection(series, str(error), faulty=True)
    except DicomError as error:
        return Rejection(series, str(error), slices)


def _too_few(slices: Sequence[Slice]) -> str:
    """The number of slices, and what else keeps them from being a volume."""
    number = f"{len(slices)} slice{'' if len(slices) == 1 else 's'} ({name_slices(slices)})"
    reason = f"{number}, where at least {FEWEST_SLICES} must form a stack"
    try:
        notes = grid_of(slices).notes
    except DicomError as error:
        return f"{reason}; {error}"
    return ". ".join([reason, *notes])
