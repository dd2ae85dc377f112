"""The slices of an object: one, or one for each frame (PS3.3 C.7.6.16).

This is the border: whatever an object holds, it costs a frame, or the object, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom import Dataset

from dicom_io.errors import DicomError, MissingAttribute, UnreadableImage
from dicom_io.slices.header import Header
from dicom_io.slices.slices import Slice, name_images, slice_of
from dicom_io.types import Instance, Series
from dicom_io.values import whole_number


def slices_of(series: Series) -> tuple[Slice, ...]:
    """Every slice of the series, in the order of the files.

    Raises
    ------
    MissingAttribute
        An image lacks position, orientation, spacing or rescaling; the message names both.
    GeometryError
        A position, orientation or spacing is no such thing.
    IncompleteSeries
        The pixel data of an image is cut off.
    """
    return tuple(_named(series.instances))


def _named(instances: Iterable[Instance]) -> Iterator[Slice]:
    for instance in instances:
        try:
            yield from slices_of_instance(instance)
        except DicomError as error:
            raise type(error)(f"{name_images([instance])}: {error}") from error


def slices_of_instance(instance: Instance) -> tuple[Slice, ...]:
    """The slices of one object: one, or one for each frame (PS3.3 C.7.6.16).

    Raises what `slices_of` raises, without the name of the image, and nothing else.
    """
    slices, faults = readable_slices(instance)
    for frame, error in faults.items():
        raise type(error)(f"frame {frame}: {error}") from error
    return slices


def readable_slices(instance: Instance) -> tuple[tuple[Slice, ...], dict[int, DicomError]]:
    """The slices of one object that can be read, and what is wrong with each other frame.

    This is the border: all that the rest needs of an image is converted here. Whatever it meets,
    it costs a frame, or the whole object, and nothing else.

    Returns
    -------
    tuple of Slice
    dict of int to DicomError
        By the number of the frame in the object, 1 first; empty for a single-frame object.

    Raises
    ------
    DicomError
        As `slices_of_instance`; no frame can be read.
    """
    try:
        found = dict(_slices(instance))
    except DicomError:
        raise
    except Exception as error:
        raise _odd(error) from error
    faults = {k + 1: error for k, error in found.items() if isinstance(error, DicomError)}
    slices = tuple(one for one in found.values() if isinstance(one, Slice))
    if faults and not slices:
        frame, fault = next(iter(faults.items()))
        raise type(fault)(f"frame {frame}: {fault}") from fault
    return slices, faults


def _slices(instance: Instance) -> Iterator[tuple[int, Slice | DicomError]]:
    header = Header.of(instance.header)
    frames = whole_number(header, "NumberOfFrames", 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        if frames > 1:
            raise MissingAttribute("frames, but no PerFrameFunctionalGroupsSequence")
        yield 0, slice_of(instance, None, (header,))
        return
    if frames != len(groups):  # PS3.3 C.7.6.16.1.1: which frame lacks its group, nobody knows
        raise MissingAttribute(f"{frames} frames, but {len(groups)} functional groups")
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    for frame, group in enumerate(groups):
        if instance.frames is None or frame in instance.frames:
            yield frame, _frame(instance, frame, [group, *shared], header)


def _frame(
    instance: Instance, frame: int, groups: Sequence[Dataset], header: Dataset
) -> Slice | DicomError:
    try:
        return slice_of(instance, frame, (*_macros(groups), header))
    except DicomError as error:
        return error
    except Exception as error:  # noqa: BLE001  the border: whatever it is, it costs the frame
        return _odd(error)


def _odd(error: Exception) -> DicomError:
    return UnreadableImage(f"its header cannot be read ({type(error).__name__})")


def _macros(groups: Iterable[Dataset]) -> Iterator[Dataset]:
    """The functional group macros, those of the frame before the shared ones."""
    for group in map(Header.of, groups):
        yield from (Header.of(e.value[0]) for e in group if e.VR == "SQ" and e.value)
