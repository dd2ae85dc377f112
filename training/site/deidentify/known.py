"""What the headers of a study say of persons, numbers, dates and places: to look for in texts."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue

from training.data.shards import write_atomically
from training.site.deidentify.folding import folded
from training.site.deidentify.words import word_list

_NUMBERS = word_list("elements_with_numbers")
_PLACES = word_list("elements_with_places")
# Words of names that are words of every text
_NO_NAMES = word_list("no_names")
_FAMILY = word_list("elements_with_family")
_NAME_PARTS = re.compile(r"[\^=,;\s]+")


@dataclass(frozen=True)
class KnownValues:
    """What identifies, of one study.

    Parameters
    ----------
    names : tuple of str
        Of the patient and everybody else, as DICOM writes person names (PS3.5 6.2.1) or as text.
    staff : tuple of str
        Those names that are neither the patient's nor the family's.
    numbers : tuple of str
        IDs, accession numbers, UIDs, telephone numbers, serial numbers.
    dates : tuple of str
        YYYYMMDD.
    places : tuple of str
        Institutions, departments, addresses.
    """

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    staff: tuple[str, ...] = ()

    @classmethod
    def of(cls, headers: Iterable[Dataset]) -> KnownValues:
        """Collect from every header of a study, before de-identification, at any depth."""
        found: dict[str, list[str]] = defaultdict(list)
        for element in (e for header in headers for e in elements(header)):
            if kind := _kind(element):
                found[kind] += _values(element)
            if element.VR == "PN" and element.keyword not in _FAMILY:
                found["staff"] += _values(element)
        return cls().plus(**found)

    @classmethod
    def joined(cls, several: Iterable[KnownValues]) -> KnownValues:
        """What any of several knows."""
        result = cls()
        for one in several:
            result = result.plus(**asdict(one))
        return result

    def plus(self, **more: Iterable[str]) -> KnownValues:
        """Add values by the names of the fields, such as what a report's own fields say."""
        kept = {**more, "dates": [d[:8] for d in more.get("dates", ()) if d[:8].isdecimal()]}
        known = asdict(self)
        return KnownValues(**{kind: _joined(known[kind], kept.get(kind, ())) for kind in known})

    def save(self, work: Path, study: str) -> None:
        """Keep in the working folder, for `read_known`."""
        folder = work / "known"
        folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(folder / f"{study}.json", json.dumps(asdict(self), ensure_ascii=False))


def read_known(work: Path) -> dict[str, KnownValues]:
    """Read what a working folder knows, by the pseudonym of the study."""
    kept, paths = TypeAdapter(KnownValues), sorted((work / "known").glob("*.json"))
    return {path.stem: kept.validate_json(path.read_bytes()) for path in paths}


def names_in(header: Dataset) -> frozenset[str]:
    """Every word of every person's name in a header, folded."""
    names = (value for e in elements(header) if e.VR == "PN" for value in _values(e))
    return frozenset(word for name in names for word in name_words(name))


def name_groups(name: str) -> Iterator[list[str]]:
    """The words of each of the groups of a name (PS3.5 6.2.1), titles left out."""
    for group in name.split("="):
        # prefix and suffix are titles
        words = [word for part in group.split("^")[:3] for word in name_words(part)]
        words = [word for word in words if word.strip(".") not in _NO_NAMES]
        if words:
            yield words


def name_words(name: str) -> list[str]:
    """The words of a person's name, folded, whichever way it is written."""
    return [word for word in _NAME_PARTS.split(folded(name)) if word.strip("'.-")]


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Every element that can be read, at any depth; pixel data is not."""
    for tag in list(dataset.keys()):
        if tag.group == 0x7FE0:
            continue
        try:
            element = dataset[tag]
        except (ValueError, TypeError, OverflowError, NotImplementedError, AttributeError):
            continue  # damaged: its value cannot be compared with anything
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)
        else:
            yield element


def _kind(element: DataElement) -> str | None:
    if element.VR == "PN":
        return "names"
    if element.VR in ("DA", "DT"):
        return "dates"
    if element.keyword in _NUMBERS:
        return "numbers"
    return "places" if element.keyword in _PLACES else None


def _values(element: DataElement) -> list[str]:
    value: Any = element.value
    parts = value if isinstance(value, MultiValue | list) else [value]
    return [str(part) for part in parts if part is not None and not isinstance(part, bytes)]


def _joined(mine: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    stripped = (value.strip() for value in more if value)
    return tuple(dict.fromkeys((*mine, *(value for value in stripped if value))))
