"""A header in which an attribute that cannot be read is empty."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from pydicom import DataElement, Dataset, charset, config
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.hooks import hooks, raw_element_value
from pydicom.tag import BaseTag, Tag

from dicom_io.characters import repaired_terms

# pydicom would log values that it finds odd, and a value may name a patient
config.settings.reading_validation_mode = config.IGNORE

_CHARACTER_SET = Tag("SpecificCharacterSet")


class _Encodings(dict[str, str]):
    """Python's names of character sets; a term that there is none of is looked up repaired.

    pydicom tries it as a codec of Python, of which some are none of text, and stumbles over NUL.
    """

    def __missing__(self, term: str) -> str:
        (repaired, *_) = repaired_terms(term.encode("ascii", "replace"))
        return self[repaired]


def _tolerant_value(raw: RawDataElement, data: dict[str, Any], **options: Any) -> None:
    """Convert a value; a SpecificCharacterSet is read as text, whatever its VR."""
    if raw.tag != _CHARACTER_SET:
        raw_element_value(raw, data, **options)
        return
    terms = repaired_terms(raw.value or b"")
    data["VR"], data["value"] = "CS", terms[0] if len(terms) == 1 else terms


charset.python_encoding = _Encodings(charset.python_encoding)
hooks.register_callback("raw_element_value", _tolerant_value)


class Header(Dataset):
    """A data set that never raises because of what a file holds.

    pydicom makes values of bytes when they are first asked for, anywhere, and raises there whatever
    the bytes make it raise. Here an element that cannot be converted, or that is a sequence where
    its attribute is none, is empty instead: an optional attribute costs nothing, and one that the
    work needs is missed where it is needed.
    """

    @classmethod
    def of(cls, dataset: Dataset) -> Header:
        """The same data set, which shares its elements with this one."""
        if isinstance(dataset, cls):
            return dataset
        header = cls.__new__(cls)
        vars(header).update(vars(dataset))
        return header

    def get(self, key: Any, default: Any | None = None) -> Any:
        """As pydicom's, which looks an attribute's tag up by its keyword at each call."""
        tag = _tag_of(key) if isinstance(key, str) else None
        if tag is None:
            return super().get(key, default)
        return self[tag].value if tag in self._dict else default

    def get_item(self, key: Any, **options: bool) -> Any:
        """As pydicom's, see `get`."""
        tag = _tag_of(key) if isinstance(key, str) else None
        return super().get_item(key if tag is None else tag, **options)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return super().__getitem__(key)
        tag = key if isinstance(key, BaseTag) else Tag(key)
        if not isinstance(self._dict.get(tag), RawDataElement):
            return super().__getitem__(tag)
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what pydicom can read in spite of it
                element = super().__getitem__(tag)
                of_its_kind = vr == "UN" or (element.VR == "SQ") == (vr == "SQ")
        except Exception:  # noqa: BLE001  the border: whatever bytes make pydicom raise
            of_its_kind = False
        if not of_its_kind:
            element = self._dict[tag] = DataElement(tag, vr[:2], None)  # of "US or SS" the first
        elif element.VR == "SQ":
            element.value = [Header.of(item) for item in element.value]
        return element


@cache  # what the code asks for by name: some hundred attributes
def _tag_of(keyword: str) -> BaseTag | None:
    tag = tag_for_keyword(keyword)
    return None if tag is None else BaseTag(tag)
