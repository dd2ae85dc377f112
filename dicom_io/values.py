"""Numbers of a header, without pydicom's objects for each of them."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement


def numbers_in(header: Dataset, keyword: str) -> Any:
    """A tuple of numbers where the file states them plainly, else the value as pydicom has it.

    pydicom makes objects of a value when it is first asked for, which for the eleven numbers that
    place a slice takes longer than reading its file. DS, IS (PS3.5 table 6.2-1) and US are read
    from their bytes here; what is odd in any way is left to pydicom.
    """
    element: Any = header.get_item(keyword)
    if not isinstance(element, RawDataElement) or not element.value:
        return header.get(keyword)
    vr, value = element.VR or dictionary_VR(keyword), element.value
    try:
        if vr in ("DS", "IS"):
            return tuple(map(float if vr == "DS" else int, value.split(b"\\")))
        if vr == "US" and len(value) == 2:
            return (int.from_bytes(value, "little" if element.is_little_endian else "big"),)
    except ValueError:
        pass
    return header.get(keyword)


def whole_number(header: Dataset, keyword: str, otherwise: int) -> int:
    """The value of an attribute, or `otherwise` where it is absent or no whole number.

    Parameters
    ----------
    header : Dataset
        Where it stands.
    keyword : str
        Its DICOM keyword.
    otherwise : int
        What is returned of an odd value.
    """
    try:
        value = numbers_in(header, keyword)
        if isinstance(value, tuple):
            (value,) = value
        return otherwise if value in (None, "") else int(value)
    except (ValueError, TypeError, OverflowError):
        return otherwise
