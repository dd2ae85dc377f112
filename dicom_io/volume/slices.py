"""One image plane: a classic CT instance, or one frame of an enhanced one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from dicom_io.errors import DicomError, GeometryError, IncompleteSeries, MissingAttribute
from dicom_io.types import Instance, Series

CT_CLASSES = frozenset(
    {CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
)

_UNIT_TOLERANCE = 1e-3
_COUNTED = {1: "a number", 2: "2 numbers", 3: "3 numbers", 6: "6 numbers"}
# No coordinate of a patient lies farther from the origin, in mm; NaN is not within it either
_FARTHEST = 1e5


@dataclass(frozen=True, eq=False)
class Slice:
    """What geometry and rescaling need to know about one image plane.

    Parameters
    ----------
    instance : Instance
        The object it belongs to.
    frame : int or None
        Index of the frame, 0 first; None for a single-frame object.
    number : int
        InstanceNumber, or the frame's number in the object, 1 first.
    position, row, column : ndarray of float64, shape (3,)
        Centre of the first pixel; directions of increasing column index and of increasing row
        index (PS3.3 C.7.6.2.1.1), LPS, mm.
    pixel_spacing : tuple of float
        Between rows and between columns, mm.
    shape : tuple of int
        Rows and columns.
    thickness : float or None
        SliceThickness, mm.
    slope, intercept : float
        HU = slope · stored + intercept.
    places : tuple of Dataset
        Where attributes of this plane stand: its functional groups, the shared ones, the header.
    """

    instance: Instance
    frame: int | None
    number: int
    position: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    shape: tuple[int, int]
    thickness: float | None
    slope: float
    intercept: float
    places: tuple[Dataset, ...]

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.row, self.column)

    @property
    def image_type(self) -> tuple[str, ...]:
        """FrameType, else ImageType, in capitals: ("ORIGINAL", "PRIMARY", "AXIAL", ...)."""
        return in_capitals(self.attribute("FrameType") or self.attribute("ImageType"))

    @property
    def labels(self) -> dict[str, str]:
        """What tells stacks apart that share a series."""
        return {
            "kind of image": " ".join(
                kind for kind in ("DERIVED", "LOCALIZER") if kind in self.image_type
            ),
            "ConvolutionKernel": str(self.attribute("ConvolutionKernel") or ""),
            "StackID": str(self.attribute("StackID") or ""),
        }

    def attribute(self, keyword: str) -> Any:
        """The value of an attribute for this plane, None where it is absent or empty."""
        return _first(self.places, keyword)


def slices_of(series: Series) -> tuple[Slice, ...]:
    """Every image plane of the series, in the order of the files.

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


def slices_of_instance(instance: Instance) -> Iterator[Slice]:
    """The image planes of one object: one, or one for each frame (PS3.3 C.7.6.16).

    Raises what `slices_of` raises, without the name of the image.
    """
    header = instance.header
    _refuse_cut_pixel_data(instance)
    if "PerFrameFunctionalGroupsSequence" not in header:
        if whole_number(header, "NumberOfFrames", 1) > 1:
            raise MissingAttribute("frames, but no PerFrameFunctionalGroupsSequence")
        yield _slice(instance, None, [header])
        return
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    for frame, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        if instance.frames is None or frame in instance.frames:
            yield _slice(instance, frame, [*_macros([group, *shared]), header])


def in_capitals(values: Any) -> tuple[str, ...]:
    """The values of a multi-valued attribute, of which pydicom gives a single one as it is."""
    several = [values] if isinstance(values, str) else values or ()
    return tuple(str(value).upper() for value in several)


def name_slices(slices: Sequence[Slice]) -> str:
    """Slices as a reader can find them: "images 3, 5-9"."""
    kind = "frame" if slices and slices[0].frame is not None else "image"
    return _ranges(kind, {plane.number for plane in slices})


def name_images(instances: Iterable[Instance]) -> str:
    """Instances as a reader can find them: "images 3, 5-9"."""
    return _ranges("image", {whole_number(i.header, "InstanceNumber", 0) for i in instances})


def _ranges(kind: str, distinct: set[int]) -> str:
    numbers = sorted(distinct)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
    return f"{kind}{'s' if len(numbers) > 1 else ''} {named}"


def whole_number(header: Dataset, keyword: str, otherwise: int) -> int:
    """The value of an attribute, or `otherwise` where it is absent or no whole number."""
    try:
        value = header.get(keyword)
        return otherwise if value in (None, "") else int(value)
    except (ValueError, TypeError, OverflowError):
        return otherwise


def _macros(groups: Iterable[Dataset]) -> Iterator[Dataset]:
    """The functional group macros, those of the frame before the shared ones."""
    for group in groups:
        yield from (element.value[0] for element in group if element.VR == "SQ" and element.value)


def _refuse_cut_pixel_data(instance: Instance) -> None:
    """What is cut off counts as missing, as it does to a reader (PS3.5 8.1.1)."""
    if instance.pixel_bytes is None:
        return
    size = [whole_number(instance.header, k, 0) for k in ("Rows", "Columns", "BitsAllocated")]
    frames = whole_number(instance.header, "NumberOfFrames", 1)
    wanted = math.prod(size) // 8 * frames
    if instance.pixel_bytes < wanted:
        raise IncompleteSeries(
            f"cut off, with {instance.pixel_bytes} of {wanted} bytes of pixel data"
        )


def _slice(instance: Instance, frame: int | None, places: list[Dataset]) -> Slice:
    number = whole_number(instance.header, "InstanceNumber", 0) if frame is None else frame + 1
    name = "" if frame is None else f"frame {number}: "
    row, column = _orientation(places, name)
    spacing = _numbers(places, "PixelSpacing", 2, name)
    if min(spacing) <= 0:
        raise GeometryError(f"{name}PixelSpacing is not positive")
    slope, intercept = _rescale(instance, places, name)
    rows, columns = (int(_numbers(places, k, 1, name)[0]) for k in ("Rows", "Columns"))
    return Slice(
        instance=instance,
        frame=frame,
        number=number,
        position=_numbers(places, "ImagePositionPatient", 3, name),
        row=row,
        column=column,
        pixel_spacing=(float(spacing[0]), float(spacing[1])),
        shape=(rows, columns),
        thickness=_thickness(places),
        slope=slope,
        intercept=intercept,
        places=tuple(places),
    )


def _first(places: Iterable[Dataset], keyword: str) -> Any:
    try:
        values = (place.get(keyword) for place in places)
        return next((value for value in values if value not in (None, "")), None)
    except (ValueError, TypeError) as error:
        raise GeometryError(f"{keyword} is unreadable") from error


def _required(places: list[Dataset], keyword: str, name: str) -> Any:
    value = _first(places, keyword)
    if value is None:
        raise MissingAttribute(f"{name}no {keyword}")
    return value


def _numbers(places: list[Dataset], keyword: str, count: int, name: str) -> NDArray[np.float64]:
    try:
        numbers = np.atleast_1d(np.array(_required(places, keyword, name), np.float64))
    except (ValueError, TypeError):
        numbers = np.array([np.nan])
    if numbers.shape != (count,) or not (np.abs(numbers) <= _FARTHEST).all():
        raise GeometryError(f"{name}{keyword} is not {_COUNTED[count]}")
    return numbers


def _thickness(places: list[Dataset]) -> float | None:
    """SliceThickness in mm; an odd one is not known, as nothing but the choice depends on it."""
    try:
        return float(_numbers(places, "SliceThickness", 1, "")[0]) or None
    except DicomError:
        return None


def _orientation(
    places: list[Dataset], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column direction; rounded ones are made exactly perpendicular unit vectors."""
    values = _numbers(places, "ImageOrientationPatient", 6, name)
    row, column = values[:3], values[3:]
    off = np.abs([row @ row - 1, column @ column - 1, row @ column]).max()
    if off > _UNIT_TOLERANCE:
        raise GeometryError(f"{name}ImageOrientationPatient is not two perpendicular unit vectors")
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _rescale(instance: Instance, places: list[Dataset], name: str) -> tuple[float, float]:
    slope, intercept = _first(places, "RescaleSlope"), _first(places, "RescaleIntercept")
    if slope is None or intercept is None:
        if instance.sop_class_uid in CT_CLASSES:
            # type 1 in CT (PS3.3 C.8.2.1); guessing it may be wrong by 1024 HU
            raise MissingAttribute(f"{name}no RescaleSlope and RescaleIntercept")
        return 1.0, 0.0
    slope, intercept = (
        float(_numbers(places, keyword, 1, name)[0])
        for keyword in ("RescaleSlope", "RescaleIntercept")
    )
    if not slope:
        raise MissingAttribute(f"{name}RescaleSlope is 0")
    return slope, intercept
