"""Who an object belongs to, as far as two systems must agree on it.

Identities are compared in memory only. They have no readable `repr`, so that none can slip into a
log line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicom import Dataset

# What archives put in place of a letter that they cannot keep
_LOST = re.compile("[?\N{REPLACEMENT CHARACTER}]+")
# A letter becomes one `?` for each byte of it; four in UTF-8
_MOST_BYTES = 4


@dataclass(frozen=True)
class Identity:
    """The study that an object belongs to, and the patient it names."""

    study_instance_uid: str
    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)


@dataclass(frozen=True)
class Person:
    """A patient as the headers of a study tell of them.

    Parameters
    ----------
    patient_id, issuer : str
        The number, and who gave it.
    name, birth_date : str
        As DICOM writes them; empty where they are not told.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)


def same_person(one: Person, other: Person) -> bool:
    """Whether two studies are of one patient: number and issuer agree, and nothing contradicts."""
    born = {one.birth_date, other.birth_date} - {""}
    return (
        one.patient_id == other.patient_id != ""
        and one.issuer == other.issuer
        and len(born) < 2
        and not names_differ(one.name, other.name)
    )


def identity_of(header: Dataset) -> Identity:
    """Return the identity that a header names, without padding that systems add and drop."""
    return Identity(
        str(header.get("StudyInstanceUID") or "").strip(),
        str(header.get("PatientID") or "").strip(),
        str(header.get("PatientName") or "").strip(),
    )


def identities_of(
    headers: Iterable[Dataset], study_instance_uid: str | None = None
) -> frozenset[Identity]:
    """Return the identities in the answers to a query.

    Parameters
    ----------
    headers : iterable of Dataset
        The answers.
    study_instance_uid : str, optional
        The study that was asked for: what is said of another one is no answer.
    """
    identities = frozenset(identity_of(header) for header in headers)
    if study_instance_uid is None:
        return identities
    return frozenset(
        one for one in identities if one.study_instance_uid in (study_instance_uid, "")
    )


def names_differ(ours: str, theirs: str) -> bool:
    """Whether two person names (PS3.5 6.2.1) cannot be one name, kept by two systems.

    Case, accents, padding and separators do not count, nor do groups (alphabetic, ideographic,
    phonetic) that only one of them has. A letter that a system lost stands for any.
    """
    pairs = zip(ours.split("="), theirs.split("="), strict=False)
    both = [(a, b) for one, other in pairs if (a := _folded(one)) and (b := _folded(other))]
    told = [pair for pair in both if all(_LOST.sub("", name).strip() for name in pair)]
    return bool(told) and not any(_matches(a, b) or _matches(b, a) for a, b in told)


def _folded(group: str) -> str:
    """Reduce a component group to its letters, with single spaces between the components."""
    decomposed = unicodedata.normalize("NFKD", group.casefold())
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(re.split(r"[\s^,]+", letters)).strip()


def _matches(pattern: str, name: str) -> bool:
    """Whether a name with lost letters may be another one."""
    known = _LOST.split(pattern)
    lost = [f".{{1,{len(one) * _MOST_BYTES}}}" for one in _LOST.findall(pattern)]
    parts = [part for pair in zip(map(re.escape, known), [*lost, ""], strict=True) for part in pair]
    return re.fullmatch("".join(parts), name) is not None
