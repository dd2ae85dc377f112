"""Read a site's data set again: is it whole, does it leak, and does it tell whose it is?"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dicom_io.counted import counted
from dicom_io.errors import UnusableData
from training.data.splits import normalised
from training.data.store import Store, open_store, verify
from training.site.deidentify import vocabulary
from training.site.deidentify.folding import squashed
from training.site.deidentify.known import KnownValues, read_known
from training.site.deidentify.search import Needles
from training.site.redaction.identifiers import find_identifiers, general_identifiers
from training.site.redaction.known_values import known_values, whole_values, words_of
from training.site.redaction.spans import in_placeholder

_FILES = re.compile(
    r"store\.json|splits\.json|report\.json|texts\.jsonl|datacard\.json|DATACARD\.md|\.lock|"
    r"images/\d{5}\.(json|safetensors)|questions/[a-z_]+\.(csv|provenance\.jsonl)"
)
_PATIENT, _STUDY = r"p-[0-9a-f]{20}", r"s-[0-9a-f]{20}"
_KEY = re.compile(rf"{_PATIENT}/{_STUDY}-\d+")
_WORDS: Mapping[str, Callable[[str], object]] = {
    "manufacturer": {*vocabulary.MANUFACTURERS.values(), vocabulary.OTHER}.__contains__,
    "model": lambda value: vocabulary.model(value) == value,
    "kernel": lambda value: vocabulary.kernel(value) == value,
    "sex": re.compile("M|F|O|OTHER").fullmatch,
    "age_decade": re.compile(r"\d?0s|90\+").fullmatch,
    "study_date": re.compile(r"\d{4}-\d\d-\d\d").fullmatch,
    "study": re.compile(_STUDY).fullmatch,
    "series": re.compile(r"2\.25\.\d+").fullmatch,
    "plane": {"axial", "coronal", "sagittal", "oblique"}.__contains__,
    "phase": re.compile("[a-z ()-]{,30}").fullmatch,
}
"""What an image's origin may say."""

_LONGEST_VALUE = 8
"""Tokens of a known value that separators may lie between."""


def faults(out: Path, work: Path | None = None) -> Iterator[str]:
    """Find what is wrong with a data set.

    Parameters
    ----------
    out : Path
        Of `ctscribe prepare site`.
    work : Path, optional
        Its working folder: every value that is known of a study is searched in every byte.

    Yields
    ------
    str
        A sentence for every fault, which names studies by their pseudonym and no value.
    """
    yield from verify(out)
    store = open_store(out)
    yield from _strange_files(out)
    yield from _doubles(store)
    yield from _of_records(store)
    yield from _of_texts(store, _kept(out))
    if work is not None:
        known = read_known(work)
        if not known:
            raise UnusableData(f"{work} is no working folder of `ctscribe prepare site`")
        yield from _of_known_values(store, known, _kept(out))


def _strange_files(out: Path) -> Iterator[str]:
    names = (p.relative_to(out).as_posix() for p in sorted(out.rglob("*")) if not p.is_dir())
    strange = Counter(Path(name).parent.as_posix() for name in names if not _FILES.fullmatch(name))
    for folder, count in strange.items():
        where = "" if folder == "." else f"{folder}/: " if folder in ("images", "questions") else ""
        files = counted(count, "file that is", "files that are")
        yield f"{where}{files} no part of a data set"


def _doubles(store: Store) -> Iterator[str]:
    """Held-out parts hold one image a text."""
    for part in ("validation", "test"):
        keys = store.split("grouped")[part]
        texts = Counter(normalised(store.report(key)) for key in keys)
        for count in texts.values():
            if count > 1:
                yield f"split grouped: {count} images of {part} share a text"


def _of_records(store: Store) -> Iterator[str]:
    for key, record in store.images.items():
        if not _KEY.fullmatch(key) or not key.startswith(record.case):
            yield "an image is not named by pseudonyms"
            continue
        odd = [name for name, value in record.origin.items() if not _says_nothing(name, value)]
        if odd:
            entries = counted(len(odd), "entry is", "entries are")
            yield f"{key}: {entries} in its origin and not of the words that may be told"
        # a window may be 2000 HU wide
        found = (change for note in record.notes for change in general_identifiers(note))
        if any(change.rule != "year" for change in found):
            yield f"{key}: a note may identify"


def _says_nothing(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return True
    if name == "private" and isinstance(value, dict):
        return not any(isinstance(leaf, str) for leaf in value.values())
    if name in _WORDS:
        return isinstance(value, str) and bool(_WORDS[name](value))
    return False


def _of_texts(store: Store, kept: Mapping[str, list[str]]) -> Iterator[str]:
    for key, text in store.texts.items():
        if any(not _within(found, kept.get(key, ())) for found in _told_by_form(text)):
            yield f"text {key}: something in it has the form of an identifier"
    for path in sorted((store.folder / "questions").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.DictReader(file) for cell in row.values() if cell]
        if any(True for cell in cells if not _KEY.fullmatch(cell) for _ in _told_by_form(cell)):
            yield f"{path.name}: something in it has the form of an identifier"


def _told_by_form(text: str) -> Iterator[str]:
    for change in find_identifiers(text, KnownValues()):
        if not in_placeholder(text, change):
            yield text[change.start : change.end]


def _of_known_values(
    store: Store, known: Mapping[str, KnownValues], kept: Mapping[str, list[str]]
) -> Iterator[str]:
    for key, text in store.texts.items():
        values = known.get(key.rpartition("/")[2])
        if values is None:
            yield f"text {key}: the working folder does not know its study"
            continue
        found = (c for c in known_values(text, values) if not in_placeholder(text, c))
        if any(not _within(text[c.start : c.end], kept.get(key, ())) for c in found):
            yield f"text {key}: a value of its headers is left in it"
    yield from _in_every_byte(store.folder, known)


def _in_every_byte(out: Path, known: Mapping[str, KnownValues]) -> Iterator[str]:
    """Every value of every study in every file and file name, whatever stands between its parts."""
    owned = [(value, study) for study, values in known.items() for value in whole_values(values)]
    needles = Needles.of(owned)
    squeezed = {squashed(value): study for value, study in owned}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        where = path.relative_to(out).as_posix()
        found = needles.owners_in_file(path) | set(needles.owners_in(where.encode()))
        if path.suffix != ".safetensors":
            found |= {
                squeezed[value]
                for leaf in _leaves(path)
                for value in _tokens(leaf)
                if value in squeezed
            }
        for study in sorted(found):
            named = where if _FILES.fullmatch(where) else "a file"
            yield f"{named}: a value that identifies study {study}"


def _tokens(text: str) -> Iterator[str]:
    """Every run of a few words, joined."""
    words = re.findall(r"\w+", text)
    plain = [squashed(word) for word in words]
    for start in range(len(plain)):
        for end in range(start + 1, min(start + _LONGEST_VALUE, len(plain)) + 1):
            yield "".join(plain[start:end])


def _leaves(path: Path) -> Iterator[str]:
    """The strings in a file, each by itself: numbers beside one another are none."""
    text = path.read_text("utf-8", "replace")
    if path.suffix == ".json":
        yield from _strings(json.loads(text))
    elif path.suffix == ".jsonl":
        yield from (
            leaf for line in text.split("\n") if line for leaf in _strings(json.loads(line))
        )
    elif path.suffix == ".csv":
        yield from (cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row)
    else:
        yield from text.splitlines()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif value is not None:
        yield str(value)


def _kept(out: Path) -> dict[str, list[str]]:
    path = out / "datacard.json"
    return dict(json.loads(path.read_text("utf-8")).get("kept", {})) if path.exists() else {}


def _within(found: str, kept: Iterable[str]) -> bool:
    """Whether every word of it is a word that a person kept."""
    return words_of(found) <= {word for whole in kept for word in words_of(whole)}
