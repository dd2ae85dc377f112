"""Text of a header, decoded strictly: what cannot be read for certain is an error, never a guess.

pydicom decodes what it can and goes on: bytes outside the character set become U+FFFD or Latin-1,
and the escapes of `ISO 2022 IR 58` stay in the text. A patient's name must not be read like that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import category

from pydicom import DataElement, Dataset
from pydicom.charset import CODES_TO_ENCODINGS, python_encoding
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from dicom_io.errors import DicomError, UnreadableText

_ESCAPE = b"\x1b"
_PARTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
# Python's codecs of these know their own escapes (PS3.5 6.1.2.5)
_STATEFUL = ("iso2022_jp", "iso2022_jp_2")
# What ends the effect of an escape (PS3.5 6.1.2.5.3): ^ and = in names, else a backslash
_NAME_DELIMITERS, _OTHER_DELIMITERS = re.compile(rb"[\^=]"), re.compile(rb"\\")
# Group separators of names and values are no part of them; nor is what systems pad with, nor a
# mark of the byte order before them
_PADDING, _BEFORE = " \0", " \0\ufeff"
# Controls, halves of characters, line separators, what is no character
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp", "Cn")
# Shows a text in another order than it has; joiners, which scripts need, do not
_REORDERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _folded(term: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", term.upper())


# Writers spell the terms of PS3.3 C.12.1.1.2 with blanks, hyphens and underscores; some write the
# names that the rest of the world uses
_TERMS = {_folded(term): term for term in python_encoding} | {
    "UTF8": "ISO_IR 192",
    "ISO88591": "ISO_IR 100",
    "LATIN1": "ISO_IR 100",
}
_ENCODINGS = {_folded(term): name for term, name in python_encoding.items()} | {
    "": "ascii",
    "ISOIR6": "ascii",
    "ISO2022IR6": "ascii",
}


def encoding_of(term: str) -> str:
    """Return Python's name of a character set of PS3.3 C.12.1.1.2.

    Raises
    ------
    DicomError
        There is none of this name.
    """
    try:
        return _ENCODINGS[_folded(term)]
    except KeyError:
        raise DicomError("the SpecificCharacterSet is not one of PS3.3 C.12.1.1.2") from None


def repaired_terms(value: bytes) -> list[str]:
    """The terms of a SpecificCharacterSet whose bytes hold blanks, NUL or garbage.

    What is no term is empty, as if nothing were declared, unless what stands before a NUL, or all
    without it, is one.
    """
    terms = [_repaired(term) for term in value.split(b"\\")]
    return terms if any(terms) else [""]


def _repaired(term: bytes) -> str:
    whole, start = (_folded(t.decode("ascii", "replace")) for t in (term, term.split(b"\0")[0]))
    found = {_TERMS[text] for text in (whole, start) if text in _TERMS and text}
    return found.pop() if len(found) == 1 else ""


def settle_text(header: Dataset, keyword: str, default: str | None = None) -> None:
    """Put the decoded text of an attribute in the place of what the file holds.

    Parameters
    ----------
    header : pydicom.Dataset
        Changed in place.
    keyword : str
        Of an attribute whose text a patient or a study is known by; absent ones stay absent.
    default : str, optional
        A term of PS3.3 C.12.1.1.2: how text is read that its object declares as ASCII, and that
        is neither ASCII nor UTF-8.

    Raises
    ------
    UnreadableText
        The bytes are outside of the character set, or are none of a text (`is_text`). The message
        names the attribute and holds no value.
    """
    element: Any = header.get_item(keyword)
    if element is None or not element.value:
        return
    raw = _raw_bytes(element)
    as_usual = getattr(element, "VR", None) in (None, dictionary_VR(keyword))
    if raw is not None and as_usual and _is_plain(raw):
        return
    try:
        values = _values_of(element) if raw is None else _decoded(header, keyword, raw, default)
    except (UnicodeError, DicomError):
        declared = "the character set that is declared" if _declares(header) else "ASCII or UTF-8"
        raise UnreadableText(f"{keyword} holds bytes outside of {declared}") from None
    if not all(map(is_text, values)):
        raise UnreadableText(f"{keyword} holds control or escape characters")
    if raw is not None:
        vr = dictionary_VR(keyword)
        value = values[0] if len(values) == 1 else values
        header.add(DataElement(Tag(keyword), vr, value, validation_mode=IGNORE))


def is_text(value: str) -> bool:
    """Whether a string holds no control, reordering or replacement character, no half of one."""
    return not any(category(c) in _NO_TEXT or c in _REORDERS or c == "\ufffd" for c in value)


def _is_plain(raw: bytes) -> bool:
    """Whether bytes mean the same in every character set: printable ASCII."""
    return raw.isascii() and raw.strip(b" \0").decode("ascii").isprintable()


def _raw_bytes(element: Any) -> bytes | None:
    """The bytes of an element as its file has them; None where pydicom has decoded them."""
    value = element.value
    if isinstance(element, RawDataElement):
        return value if isinstance(value, bytes) else None
    if isinstance(value, PersonName) and isinstance(value.original_string, bytes):
        return value.original_string
    return None


def _values_of(element: Any) -> list[str]:
    value = element.value
    return [str(part) for part in (value if isinstance(value, MultiValue | list) else [value])]


def _declares(header: Dataset) -> list[str]:
    """The declared character sets beyond ASCII; what is none declares nothing."""
    value = header.get("SpecificCharacterSet") or ""
    stated = [value] if isinstance(value, str) else list(value)
    terms = [_repaired(str(term).encode("ascii", "replace")) for term in stated]
    return terms if any(map(_beyond_ascii, terms)) else []


def _beyond_ascii(term: str) -> bool:
    return _ENCODINGS.get(_folded(term)) != "ascii"


def _decoded(header: Dataset, keyword: str, raw: bytes, default: str | None) -> list[str]:
    is_name = dictionary_VR(keyword) == "PN"
    encodings = [encoding_of(term) for term in _declares(header)]
    if encodings and not _is_mislabelled(raw, encodings):
        text = _decode(raw, encodings, _NAME_DELIMITERS if is_name else _OTHER_DELIMITERS)
    else:
        text = _decode_undeclared(raw, default)
    return [value.lstrip(_BEFORE).rstrip(_PADDING) for value in text.split("\\")]


def _is_mislabelled(raw: bytes, encodings: Sequence[str]) -> bool:
    """Whether text that is declared as Latin-1 is UTF-8.

    A letter of two bytes would be two letters of Latin-1, the second a sign such as ¼ or ©: no name
    has it. Sets whose signs are letters, such as the Cyrillic one, are believed.
    """
    if not set(encodings) <= {"latin_1", "ascii"} or raw.isascii() or _ESCAPE in raw:
        return False
    try:
        return bool(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _decode_undeclared(raw: bytes, default: str | None) -> str:
    """Text beyond the ASCII that is declared: no other text looks like valid UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if default is None:
            raise
        return raw.decode(encoding_of(default))


def _decode(raw: bytes, encodings: Sequence[str], delimiters: re.Pattern[bytes]) -> str:
    """Decode text with code extensions (PS3.5 6.1.2.5), strictly."""
    if _ESCAPE not in raw:
        return raw.decode(encodings[0])
    return "".join(_decode_part(part, encodings, delimiters) for part in _PARTS.findall(raw))


def _decode_part(part: bytes, encodings: Sequence[str], delimiters: re.Pattern[bytes]) -> str:
    if not part.startswith(_ESCAPE):
        return part.decode(encodings[0])
    length = 4 if part[1:3] in (b"$(", b"$)") else 3
    encoding = CODES_TO_ENCODINGS.get(part[:length])
    if encoding not in (*encodings, "iso8859"):  # which is how pydicom calls ASCII
        raise DicomError("an escape to a character set that is not declared")
    if encoding in _STATEFUL:
        return part.decode(encoding)
    text = part[length:]
    end = found.start() if (found := delimiters.search(text)) else len(text)
    return text[:end].decode(encoding) + text[end:].decode(encodings[0])
