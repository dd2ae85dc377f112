"""Values of a header, without pydicom's objects for each of them, and without a surprise."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.valuerep import PersonName


def numbers_in(header: Dataset, keyword: str) -> Any:
    """A tuple of numbers where the file states them plainly, else the value as pydicom has it.

    pydicom makes objects of a value when it is first asked for, which for the eleven numbers that
    place a slice takes longer than reading its file. DS, IS (PS3.5 table 6.2-1) and US are read
    from their bytes here; what is odd in any way is left to pydicom.
    Python reads `1_0` and the digits of other scripts, too: these are no value.
    """
    element: Any = header.get_item(keyword)
    if not isinstance(element, RawDataElement) or not element.value:
        return header.get(keyword)
    vr, value = element.VR or dictionary_VR(keyword), element.value
    if vr in ("DS", "IS") and not _is_plain(value):
        return None
    try:
        if vr in ("DS", "IS"):
            return tuple(map(float if vr == "DS" else int, value.split(b"\\")))
        if vr == "US" and len(value) == 2:
            return (int.from_bytes(value, "little" if element.is_little_endian else "big"),)
    except ValueError:
        pass
    return header.get(keyword)


def _is_plain(value: bytes) -> bool:
    return value.isascii() and b"_" not in value


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


def leading_number(header: Dataset, keyword: str) -> float | None:
    """The first number of an attribute that nothing depends on; None where there is none.

    A comma is taken for the decimal sign, as some devices write it.
    """
    element: Any = header.get_item(keyword)
    raw = isinstance(element, RawDataElement) and element.value
    if raw and (element.VR or dictionary_VR(keyword)) in ("DS", "IS"):
        value: Any = element.value.split(b"\\")[0].decode("ascii", "replace")
    else:
        value = numbers_in(header, keyword)
        if not isinstance(value, str | bytes) and isinstance(value, Iterable):
            value = next(iter(value), None)
    if isinstance(value, str) and not _is_plain(value.encode(errors="replace")):
        return None
    try:
        number = float(value.replace(",", ".") if isinstance(value, str) else value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if isfinite(number) else None


def texts(value: Any) -> tuple[str, ...]:
    """The values of an attribute as text, of which pydicom gives a single one as it is."""
    if value is None:
        return ()
    # A person's name can be iterated as well: it gives its letters
    single = isinstance(value, str | bytes | PersonName) or not isinstance(value, Iterable)
    return tuple(map(str, [value] if single else value))


def whole_or_none(value: object) -> int | None:
    """Return a value as a whole number; None where it is none, or is missing."""
    try:
        return int(str(value))
    except ValueError:
        return None
