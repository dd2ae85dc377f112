"""A header in which an attribute that cannot be read is empty."""

from __future__ import annotations

import warnings
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

# pydicom would log values that it finds odd, and a value may name a patient
config.settings.reading_validation_mode = config.IGNORE


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
        header = cls()
        vars(header).update(vars(dataset))
        return header

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return super().__getitem__(key)
        tag = Tag(key)
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
