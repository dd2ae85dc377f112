"""Private elements that a site knows to be safe: the only ones that survive, as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset

from dicom_io.errors import UnusableData
from training.site.deidentify.survivors import numbers_in

_NUMBERS = {"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US"}
_LINE = re.compile(r"\(?([0-9a-f]{4}),\s?(?:xx)?([0-9a-f]{2})\)?\s+(\S.*)", re.IGNORECASE)


@dataclass(frozen=True)
class PrivateElement:
    """A private element by its block's creator (PS3.5 7.8.1), e.g. (0019,xx23) GEMS_ACQU_01."""

    group: int
    offset: int
    creator: str

    @property
    def name(self) -> str:
        return f"{self.group:04x},xx{self.offset:02x} {self.creator}"

    def value(self, dataset: Dataset) -> float | list[float] | None:
        """Its number or numbers; None where it is absent or holds anything else."""
        try:
            element = dataset.private_block(self.group, self.creator)[self.offset]
        except (KeyError, ValueError, TypeError):
            return None
        return numbers_in(element.value) if element.VR in _NUMBERS else None


def read_safe_list(path: Path) -> tuple[PrivateElement, ...]:
    """Read a list with an element a line: group, offset, creator; # begins a comment.

    Raises
    ------
    UnusableData
        A line is none; it is named.
    """
    elements = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None or int(match[1], 16) % 2 == 0:
            raise UnusableData(f"{path.name}, line {number}: wanted as 0019,xx23 GEMS_ACQU_01")
        elements.append(PrivateElement(int(match[1], 16), int(match[2], 16), match[3]))
    return tuple(elements)


def kept_values(dataset: Dataset, listed: Iterable[PrivateElement]) -> dict[str, Any]:
    """What the listed elements of an original header say, by their names."""
    found = ((element.name, element.value(dataset)) for element in listed)
    return {name: value for name, value in found if value is not None}
