"""The Technique section, from the DICOM headers alone: nothing in it can be hallucinated.

Only attributes of the device and of the acquisition are told. Free text that a person typed
(descriptions, comments) stays out, since it may name the patient.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.multival import MultiValue

from dicom_io.values import numbers_in

NOT_STATED = "not stated in the headers"
# Headers give positions in hundredths of a millimetre: what differs by no more is one value
_ROUNDING = 0.02
# Asked of every header, and told as numbers
_NUMBERS = ("ImageOrientationPatient", "ImagePositionPatient", "KVP", "SliceThickness")


@disable_value_validation()  # its warnings would tell the headers' odd values
def technique_sentences(
    headers: Sequence[Dataset], *, corrections: Sequence[str] = ()
) -> tuple[str, ...]:
    """Write how the series was acquired.

    Parameters
    ----------
    headers : sequence of pydicom.Dataset
        Headers of the selected series, one per instance, in any order.
    corrections : sequence of str
        What had to be corrected to build the volume, one sentence each.

    Returns
    -------
    tuple of str
        Two lines, of the images and of the scanner, and one for each correction. What the headers
        do not hold is "not stated in the headers".
    """
    kernel = _words(headers, "ConvolutionKernel") or NOT_STATED
    return (
        f"{_images(headers)} {_slices(headers)}",
        f"{_scanner(headers)} Tube voltage: {_stated(headers, 'KVP', 'kVp')}. "
        f"Reconstruction kernel: {kernel}. Contrast agent: {_contrast(headers) or NOT_STATED}.",
        *(line if line.endswith(".") else f"{line}." for line in corrections if line.strip()),
    )


def _scanner(headers: Sequence[Dataset]) -> str:
    maker, model = _words(headers, "Manufacturer"), _words(headers, "ManufacturerModelName")
    return f"CT scanner: {' '.join(part for part in (maker, model) if part) or NOT_STATED}."


def _images(headers: Sequence[Dataset]) -> str:
    number = _words(headers, "SeriesNumber")
    series = f"Series {number}" if number else "A series without a number"
    frames = sum(int(_number(_value(header, "NumberOfFrames")) or 1) for header in headers)
    body_part = _words(headers, "BodyPartExamined")
    region = f", body part {body_part}" if body_part else ""
    return f"{series} was used: {frames} image{'' if frames == 1 else 's'}{region}."


def _slices(headers: Sequence[Dataset]) -> str:
    along = _positions_mm(headers)
    coverage = f"{along[-1] - along[0]:.0f} mm" if len(along) > 1 else NOT_STATED
    return (
        f"Slice thickness: {_stated(headers, 'SliceThickness', 'mm')}; "
        f"slice spacing: {_range([float(step) for step in np.diff(along)], 'mm')}; "
        f"coverage from first to last slice: {coverage}."
    )


def _contrast(headers: Sequence[Dataset]) -> str:
    agent = _words(headers, "ContrastBolusAgent")
    route = _words(headers, "ContrastBolusRoute")
    return f"{agent} ({route})" if agent and route else agent


def _positions_mm(headers: Sequence[Dataset]) -> list[float]:
    """Distinct positions of the slices along their common normal, ascending (PS3.3 C.7.6.2.1.1)."""
    normal: np.ndarray | None = None
    along: set[float] = set()
    for plane in _planes(headers):
        axes, origin = (_vector(plane[0], 6), _vector(plane[1], 3))
        if origin is None:
            continue
        if normal is None and axes is not None:
            normal = np.cross(axes[:3], axes[3:])
        if normal is not None:
            along.add(round(float(origin @ normal), 3))
    return sorted(along)


def _planes(headers: Sequence[Dataset]) -> Iterator[tuple[object, object]]:
    for header in headers:
        shared = _value(header, "ImageOrientationPatient")
        frames = header.get("PerFrameFunctionalGroupsSequence") or []
        if not frames:
            yield shared, _value(header, "ImagePositionPatient")
        for frame in frames:
            own = _in_groups(frame, "ImageOrientationPatient")
            yield own or shared, _in_groups(frame, "ImagePositionPatient")


def _vector(value: object, length: int) -> np.ndarray | None:
    if not isinstance(value, MultiValue | list | tuple) or len(value) != length:
        return None
    numbers = [_number(part) for part in value]
    return None if None in numbers else np.array(numbers, dtype=float)


def _value(header: Dataset, keyword: str) -> object:
    """Value at the root, or in the functional groups that all frames share (PS3.3 C.7.6.16)."""
    value = _read(header, keyword)
    if value is None:
        for group in header.get("SharedFunctionalGroupsSequence") or []:
            value = _in_groups(group, keyword)
    return value


def _in_groups(group: Dataset, keyword: str) -> object:
    for element in group:
        if element.VR == "SQ" and element.value and keyword in element.value[0]:
            return _read(element.value[0], keyword)
    return None


def _read(header: Dataset, keyword: str) -> object:
    try:
        return numbers_in(header, keyword) if keyword in _NUMBERS else header.get(keyword)
    except (ValueError, TypeError, OverflowError):
        return None  # a value that is none of its VR says nothing


def _parts(value: object) -> Iterable[object]:
    return value if isinstance(value, MultiValue | list | tuple) else [value]


def _words(headers: Sequence[Dataset], keyword: str) -> str:
    found = dict.fromkeys(
        " ".join(str(part).split())
        for header in headers
        for part in _parts(_value(header, keyword))
        if part is not None
    )
    return ", ".join(word for word in found if word)


def _stated(headers: Sequence[Dataset], keyword: str, unit: str) -> str:
    values = {_number(part) for header in headers for part in _parts(_value(header, keyword))}
    return _range([value for value in values if value is not None], unit)


def _range(values: Sequence[float], unit: str) -> str:
    if not values:
        return NOT_STATED
    if max(values) - min(values) <= _ROUNDING:
        return f"{round(sum(values) / len(values), 3):g} {unit}"
    return f"{round(min(values), 3):g} to {round(max(values), 3):g} {unit}"


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
