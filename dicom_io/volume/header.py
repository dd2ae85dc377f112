"""A header in which an attribute that cannot be read is empty."""

from __future__ import annotations

import warnings
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.tag import Tag


class Header(Dataset):
    """A data set that never raises because of what a file holds.

    pydicom makes values of bytes when they are first asked for, anywhere, and raises there whatever
    the bytes make it raise. Here an element that cannot be converted is empty instead: an optional
    attribute costs nothing, and one that the work needs is missed where it is needed.
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
        try:
            return super().__getitem__(key)
        except Exception as error:
            tag = None if isinstance(key, slice) else Tag(key)
            if tag is None or tag not in self._dict:
                raise
            if isinstance(error, Warning):  # made an exception by a filter, and no fault
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return self[tag]
            vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
            self._dict[tag] = empty = DataElement(tag, vr[:2], None)  # "US or SS": the first
            return empty
