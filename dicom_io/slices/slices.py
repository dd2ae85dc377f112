"""One slice: a classic CT instance, or one frame of an enhanced one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from dicom_io.errors import (
    GeometryError,
    IncompleteSeries,
    MissingAttribute,
    UnreadableImage,
)
from dicom_io.pixel_data.layout import PixelLayout
from dicom_io.slices.content import Energy, energy_of, no_cross_section, no_hu
from dicom_io.types import Instance
from dicom_io.values import leading_number, numbers_in, texts, whole_number

_PLAIN = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)
CT_CLASSES = frozenset(
    {CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
)

# Cosines of an oblique image rounded to two decimals, as some devices write them, are off by this
# much together: three products of 1 with an error of 0.005. A real fault is larger
_UNIT_TOLERANCE = 0.02
_COUNTED = {1: "a number", 2: "2 numbers", 3: "3 numbers", 6: "6 numbers"}
# No coordinate of a patient lies farther from the origin, in mm; NaN is not within it either
_FARTHEST = 1e5
# Micro-CT ends at 0.01 mm; PET's CT is reconstructed to 4 mm, and no image is wider than a gantry
_FINEST_MM, _COARSEST_MM, _WIDEST_MM = 0.005, 20.0, 2000.0
_THICKEST_MM = 100.0
# What all stored values span together: less shows no tissue. Of 16 bits (what else 32 have is
# empty) more is no CT, and would leave the 32 bits of whole HU
_NARROWEST_HU, _WIDEST_HU = 100.0, 1e8

# RescaleType (PS3.3 C.11.1.1.2); "US" is unspecified, which older CT write beside HU
_HU_TYPES = ("", "HU", "HU_MOD", "US", "HOUNSFIELD", "HOUNSFIELD UNITS")

Reader = Callable[[Dataset, str], Any]
Directions = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Slice:
    """What geometry and rescaling need to know about one slice, parsed once.

    Parameters
    ----------
    instance : Instance
        The object it belongs to.
    frame : int or None
        Index of the frame, 0 first; None for a single-frame object.
    number : int
        InstanceNumber, or the frame's number in the object, 1 first.
    position : ndarray of float64, shape (3,)
        Centre of the first pixel, LPS, mm.
    row, column, normal : ndarray of float64, shape (3,)
        Directions of increasing column index and of increasing row index (PS3.3 C.7.6.2.1.1), and
        their cross product. Slices of one orientation share them.
    pixel_spacing : tuple of float
        Between rows and between columns, mm.
    layout : PixelLayout
        Rows and columns, and how a pixel is stored.
    thickness : float or None
        SliceThickness, mm.
    slope, intercept : float
        HU = slope · stored + intercept.
    padding : tuple of int or None
        Lowest and highest stored value that stands for nothing (PS3.3 C.7.5.1.1.2).
    headers : tuple of Dataset
        Where attributes of this slice stand: its functional groups, the shared ones, the header.
    """

    instance: Instance
    frame: int | None
    number: int
    position: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    normal: NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    layout: PixelLayout
    thickness: float | None
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    headers: tuple[Dataset, ...]

    @cached_property
    def image_type(self) -> tuple[str, ...]:
        """FrameType, else ImageType, in capitals: ("ORIGINAL", "PRIMARY", "AXIAL", ...)."""
        return in_capitals(self.attribute("FrameType") or self.attribute("ImageType"))

    @cached_property
    def kernel(self) -> str:
        """ConvolutionKernel as it stands, empty where it is absent."""
        return str(self.attribute("ConvolutionKernel") or "")

    @cached_property
    def unit(self) -> str:
        """RescaleType where the values are no HU; empty for HU in every spelling."""
        named = self.text_of("RescaleType").strip(" \0").upper()
        return "" if named in _HU_TYPES else named[:16]

    @cached_property
    def energy(self) -> Energy:
        """The X-ray energy that the image shows."""
        kev = self.number_of("MonoenergeticEnergyEquivalent")
        return energy_of(self.image_type, kev, self.text_of("SeriesDescription"))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What tells stacks apart that share a series: image kind, unit, energy, kernel, StackID.

        Originals and derived images are not told apart by this alone: one range may hold both.
        """
        kind = no_cross_section(self.image_type) or no_hu(self.image_type) or ""
        return kind, self.unit, self.energy.name, self.kernel, self.text_of("StackID")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, self.layout.columns

    @property
    def has_whole_hu(self) -> bool:
        """Whether slope and intercept make whole numbers of HU."""
        return self.slope.is_integer() and self.intercept.is_integer()

    def attribute(self, keyword: str) -> Any:
        """The value of an attribute for this slice, None where it is absent or empty."""
        return _first(self.headers, keyword)

    def written(self, keyword: str) -> list[Any]:
        """What stands in each header: bytes where no one has asked for the value yet."""
        return [getattr(header.get_item(keyword), "value", None) for header in self.headers]

    def text_of(self, keyword: str) -> str:
        """The value of an attribute that nothing depends on; empty where it is absent or odd."""
        return str(self.attribute(keyword) or "")

    def number_of(self, keyword: str) -> float | None:
        """The first number of an attribute that nothing depends on; None where it is odd."""
        number: float | None = _first(self.headers, keyword, leading_number)
        return number


def in_capitals(values: Any) -> tuple[str, ...]:
    """The values of a multi-valued attribute, padded ones and lists written as one text included.

    pydicom gives a single value as it is. Some writers put the list of another language into it:
    "['DERIVED', 'SECONDARY', 'MIP']".
    """
    several = re.split(r"[\\,]", values) if isinstance(values, str) else texts(values)
    return tuple(value.strip(" \0[]'\"").upper() for value in several)


def name_slices(slices: Sequence[Slice]) -> str:
    """Slices as a reader can find them: "images 3, 5-9"."""
    kind = "frame" if slices and slices[0].frame is not None else "image"
    return ranges(kind, {one.number for one in slices})


def name_images(instances: Iterable[Instance]) -> str:
    """Instances as a reader can find them: "images 3, 5-9"."""
    return ranges("image", {whole_number(i.header, "InstanceNumber", 0) for i in instances})


def ranges(kind: str, distinct: set[int]) -> str:
    """Numbers as a reader can find them: "frames 3, 5-9"."""
    numbers = sorted(distinct)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
    return f"{kind}{'s' if len(numbers) > 1 else ''} {named}"


def slice_of(instance: Instance, frame: int | None, headers: tuple[Dataset, ...]) -> Slice:
    """Convert all that the rest needs of one slice.

    Parameters
    ----------
    instance : Instance
        The object.
    frame : int or None
        Index of the frame, None of a single-frame object.
    headers : tuple of Dataset
        Where its attributes stand, see `Slice`.

    Raises
    ------
    DicomError
        See `frames.slices_of`. What no parser takes raises whatever it raises.
    """
    if frame is None:
        number = whole_number(headers[-1], "InstanceNumber", 0)
    else:  # of the whole concatenation, where the object is a part of one
        number = frame + 1 + whole_number(headers[-1], "ConcatenationFrameOffsetNumber", 0)
    layout = _layout(headers)
    _refuse_other_length(instance, layout, frame)
    row, column, normal = _directions(_numbers(headers, "ImageOrientationPatient", 6))
    slope, intercept = _rescale(instance, headers, layout)
    return Slice(
        instance=instance,
        frame=frame,
        number=number,
        layout=layout,
        position=np.array(_numbers(headers, "ImagePositionPatient", 3)),
        row=row,
        column=column,
        normal=normal,
        pixel_spacing=_pixel_spacing(headers, layout),
        thickness=_thickness(headers),
        slope=slope,
        intercept=intercept,
        padding=_padding(headers),
        headers=headers,
    )


def _layout(headers: Sequence[Dataset]) -> PixelLayout:
    rows, columns, allocated, stored = (
        int(_number(headers, k)) for k in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    high_bit = _first(headers, "HighBit", leading_number)
    grey = texts(_first(headers, "PhotometricInterpretation"))
    return PixelLayout(
        rows,
        columns,
        allocated,
        stored,
        stored - 1 if high_bit is None else int(high_bit),
        signed=_number(headers, "PixelRepresentation") == 1,
        photometric=grey[0].strip() if grey else "MONOCHROME2",
    )


def _refuse_other_length(instance: Instance, layout: PixelLayout, frame: int | None) -> None:
    """What is cut off counts as missing (PS3.5 8.1.1); half a frame more is no padding."""
    if instance.pixel_data is None or is_encapsulated(syntax_of(instance)):
        return
    _, found = instance.pixel_data
    frames = max(1, whole_number(instance.header, "NumberOfFrames", 1))
    wanted = layout.frame_bytes * frames
    if found < layout.frame_bytes * (frames if frame is None else frame + 1):
        raise IncompleteSeries(f"cut off, with {found} of {wanted} bytes of pixel data")
    if found >= wanted + layout.frame_bytes / 2:
        raise UnreadableImage(f"{found} bytes of pixel data, where the header says {wanted}")


def syntax_of(instance: Instance) -> UID:
    """The transfer syntax of an image; implicit little endian where the file states none."""
    meta = getattr(instance.header, "file_meta", None)
    return UID(str((meta and meta.get("TransferSyntaxUID")) or ImplicitVRLittleEndian))


def is_encapsulated(syntax: UID) -> bool:
    """Whether pixel data is in items (PS3.5 A.4); nobody knows it of a private syntax, so it is."""
    return syntax not in _PLAIN


def _pixel_spacing(headers: Sequence[Dataset], layout: PixelLayout) -> tuple[float, float]:
    between_rows, between_columns = _numbers(headers, "PixelSpacing", 2)
    if min(between_rows, between_columns) <= 0:
        raise GeometryError("PixelSpacing is not positive")
    size_mm = between_rows * layout.rows, between_columns * layout.columns
    finest, coarsest = sorted((between_rows, between_columns))
    if finest < _FINEST_MM or coarsest > _COARSEST_MM or max(size_mm) > _WIDEST_MM:
        raise GeometryError(
            f"PixelSpacing of {between_rows:.3g} and {between_columns:.3g} mm makes an image of "
            f"{size_mm[0]:.3g} by {size_mm[1]:.3g} mm"
        )
    return between_rows, between_columns


def _padding(headers: Sequence[Dataset]) -> tuple[int, int] | None:
    """The values of padding as they stand; those that are no numbers are none."""
    first = _stored_number(headers, "PixelPaddingValue")
    if first is None:
        return None
    last = _stored_number(headers, "PixelPaddingRangeLimit")
    return first, first if last is None else last


def _stored_number(headers: Sequence[Dataset], keyword: str) -> int | None:
    """US or SS (PS3.3 C.7.5.1), or its two bytes under the VR of bytes."""
    value = _first(headers, keyword)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) > 1 else None
    number = _first(headers, keyword, leading_number)
    return None if number is None else int(number)


def _first(headers: Iterable[Dataset], keyword: str, read: Reader | None = None) -> Any:
    """The first value that is there, of the frame's own before the shared ones."""
    for header in headers:
        value = read(header, keyword) if read else header.get(keyword)
        if value not in (None, ""):
            return value
    return None


def _number(headers: Sequence[Dataset], keyword: str) -> float:
    return _numbers(headers, keyword, 1)[0]


def _several(headers: Sequence[Dataset], keyword: str) -> tuple[float, ...]:
    """The numbers of an attribute; none where it holds something else."""
    value = _first(headers, keyword, numbers_in)
    if value is None:
        raise MissingAttribute(f"no {keyword}")
    try:
        several = [value] if isinstance(value, str | bytes | int | float) else value
        return tuple(map(float, several))
    except (ValueError, TypeError, OverflowError):
        return ()


def _numbers(headers: Sequence[Dataset], keyword: str, count: int) -> tuple[float, ...]:
    numbers = _several(headers, keyword)
    if len(numbers) != count or not all(abs(number) <= _FARTHEST for number in numbers):
        raise GeometryError(f"{keyword} is not {_COUNTED[count]}")
    return numbers


def _thickness(headers: Sequence[Dataset]) -> float | None:
    """SliceThickness in mm; an odd one is not known, as nothing but the choice depends on it."""
    thickness = _first(headers, "SliceThickness", leading_number)
    return thickness if thickness and 0 < thickness <= _THICKEST_MM else None


@lru_cache(maxsize=64)  # the slices of a stack have one orientation
def _directions(orientation: tuple[float, ...]) -> Directions:
    """Row, column and normal; rounded ones are made exactly perpendicular unit vectors."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    off = np.abs([row @ row - 1, column @ column - 1, row @ column]).max()
    if off > _UNIT_TOLERANCE:
        raise GeometryError("ImageOrientationPatient is not two perpendicular unit vectors")
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _rescale(
    instance: Instance, headers: Sequence[Dataset], layout: PixelLayout
) -> tuple[float, float]:
    if any(
        _first(headers, keyword, numbers_in) is None
        for keyword in ("RescaleSlope", "RescaleIntercept")
    ):
        if instance.sop_class_uid in CT_CLASSES:
            # type 1 in CT (PS3.3 C.8.2.1); guessing it may be wrong by 1024 HU
            raise MissingAttribute("no RescaleSlope and RescaleIntercept")
        return 1.0, 0.0
    slope, intercept = _number(headers, "RescaleSlope"), _number(headers, "RescaleIntercept")
    if not slope:
        raise MissingAttribute("RescaleSlope is 0")
    narrow = abs(slope) * 2**layout.bits_stored < _NARROWEST_HU
    if narrow or abs(slope) * 2 ** min(layout.bits_stored, 16) > _WIDEST_HU:
        raise GeometryError(f"RescaleSlope of {slope:.3g} makes no Hounsfield units")
    return slope, intercept
