"""What differs between two files of one SOP Instance UID, as their content goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicom_io.errors import DecoderUnavailable, DicomError
from dicom_io.slices.deflated import open_data_set
from dicom_io.slices.frames import slices_of_instance
from dicom_io.slices.pixels import Pixels
from dicom_io.slices.read import read_instance
from dicom_io.slices.slices import syntax_of
from dicom_io.types import Instance

# How an object is written, not what it says; text is compared decoded
_ENCODING = ("SpecificCharacterSet", "PixelData", "DataSetTrailingPadding")
# Archives round to so much when they write a position again
_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class Difference:
    """What differs between an object and another one that has its SOP Instance UID.

    Parameters
    ----------
    keywords : frozenset of str
        Attributes with another value; private ones are not looked at.
    pixels : bool
        Whether the decoded pixels differ, or those of the second object can be read and those of
        the first cannot.
    other_image : bool
        Whether the two are images of different places, or of different studies.
    damaged : bool
        Whether the second object cannot be read.
    """

    keywords: frozenset[str] = frozenset()
    pixels: bool = False
    other_image: bool = False
    damaged: bool = False

    @property
    def is_none(self) -> bool:
        return self == Difference()


def difference(first: Path, second: Path) -> Difference:
    """Compare the content of two files, whatever they are encoded in.

    Raises
    ------
    DecoderUnavailable
        No file is at fault.
    """
    try:
        newer = read_instance(second)
    except DicomError:
        return Difference(damaged=True)
    try:
        older = read_instance(first)
    except DicomError:
        return Difference(pixels=True)
    keywords = frozenset(_differing(older.header, newer.header))
    if _other_image(older.header, newer.header, keywords):
        return Difference(keywords, other_image=True)
    return _with_pixels(older, newer, keywords)


def _differing(older: Dataset, newer: Dataset) -> list[str]:
    tags = {tag for header in (older, newer) for tag in header.keys()}  # noqa: SIM118  not its elements
    # Element 0 is the length of a group (PS3.5 7.2), which is how it is written
    named = {tag: keyword_for_tag(tag) for tag in tags if tag.element and not tag.is_private}
    return [
        keyword or str(tag)
        for tag, keyword in named.items()
        if keyword not in _ENCODING and not _equal(older, newer, tag)
    ]


def _equal(older: Dataset, newer: Dataset, tag: BaseTag) -> bool:
    """Whether an attribute says the same in both; absent is the same as empty."""
    one, other = (_raw(header, tag) for header in (older, newer))
    if one is not None and one == other and _charset(older) == _charset(newer):
        return True
    try:
        return bool(_value(older, tag) == _value(newer, tag))
    except Exception:  # noqa: BLE001  a value that pydicom cannot make: the bytes differ
        return False


def _raw(header: Dataset, tag: BaseTag) -> tuple[Any, ...] | None:
    element: Any = header.get_item(tag)
    if not isinstance(element, RawDataElement) or element.value is None:
        return None
    return element.VR, element.is_little_endian, element.value


def _charset(header: Dataset) -> str:
    return str(header.get("SpecificCharacterSet"))


def _value(header: Dataset, tag: BaseTag) -> Any:
    value = header[tag].value if tag in header else None
    return None if value in ("", b"", []) else value


def _other_image(older: Dataset, newer: Dataset, keywords: frozenset[str]) -> bool:
    """Whether two slices share one UID: their places tell, else their numbers."""
    if keywords & {"StudyInstanceUID", "SOPClassUID"}:
        return True
    places: list[Any] = [header.get("ImagePositionPatient") for header in (older, newer)]
    if not all(places):
        return "InstanceNumber" in keywords
    if "ImagePositionPatient" not in keywords:
        return False
    moved_mm = [abs(float(a) - float(b)) for a, b in zip(*places, strict=False)]
    return max(moved_mm) > _SAME_PLACE_MM


def _with_pixels(older: Instance, newer: Instance, keywords: frozenset[str]) -> Difference:
    if _encoded(older) == _encoded(newer):
        return Difference(keywords)
    after = _decoded(newer)
    if after is None:
        return Difference(keywords, damaged=True)
    before = _decoded(older)
    same = before is not None and len(before) == len(after)
    same = same and all(map(np.array_equal, before or (), after))
    return Difference(keywords, pixels=not same)


def _encoded(instance: Instance) -> tuple[str, bytes | None]:
    if instance.pixel_data is None:
        return str(syntax_of(instance)), None
    start, length = instance.pixel_data
    with open_data_set(instance.path) as file:
        file.seek(start)
        return str(syntax_of(instance)), file.read(length)


def _decoded(instance: Instance) -> list[NDArray[Any]] | None:
    """HU of every frame; None where they cannot be decoded."""
    pixels = Pixels()
    try:
        return [pixels.hu_of(one) for one in slices_of_instance(instance)]
    except DecoderUnavailable:
        raise
    except DicomError:
        return None
