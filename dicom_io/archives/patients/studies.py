"""The studies of one patient in an archive: how they are asked for, and which answer is believed.

An archive may answer with more than was asked for, and two patients may have one number. So each
answer is compared with the patient before anybody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from pydicom import Dataset

from dicom_io.archives.patients.identity import Person, same_person
from dicom_io.characters import is_text, settle_text
from dicom_io.cleaned import cleaned
from dicom_io.errors import MissingAttribute, UnreadableText
from dicom_io.values import texts

MOST = 100
"""Of the answers to one query: nobody reads more, and a longer list is a fault."""

_TOLD = (
    "StudyInstanceUID",
    "PatientName",
    "PatientBirthDate",
    "StudyDate",
    "StudyDescription",
    "ModalitiesInStudy",
)
# PS3.4 C.2.2.2.4 and C.2.2.2.2: what stands for any letters, and between several values
_PATTERN = re.compile(r"[*?\\]")
# PS3.5 table 6.2-1, of LO
_LONGEST = 64
# PS3.5 9.1; it becomes a part of addresses
_UID = re.compile("[0-9][0-9.]{0,63}")
# Nobody writes a longer one, and one row of a page has to hold it
_LONGEST_SHOWN = 200

Told = Callable[[str], str]
"""Returns the text of an attribute; raises `UnreadableText` where it cannot be read for certain."""


@dataclass(frozen=True)
class HeldStudy:
    """A study of a patient in an archive; all texts are harmless.

    Parameters
    ----------
    study_instance_uid : str
        Its UID.
    date, description : str
        As its headers say; the date as DICOM writes it, empty where it is not told.
    modalities : tuple of str
        Of its series.
    """

    study_instance_uid: str = field(repr=False)
    date: str = field(repr=False)
    description: str = field(repr=False)
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class PatientStudies:
    """What an archive holds of a patient.

    Parameters
    ----------
    held : tuple of HeldStudy
        The studies.
    withheld : int
        How many answers are not shown: they tell another issuer, name or birth date, or nothing
        that could be compared.
    """

    held: tuple[HeldStudy, ...]
    withheld: int


def patient_keys(person: Person) -> dict[str, str]:
    """Return the keys of a query for a patient's studies; empty ones ask to be told.

    Raises
    ------
    MissingAttribute
        There is no number: an archive would list everybody.
    UnreadableText
        Number or issuer hold what an archive would take for a pattern, or what is no text.
    """
    if not person.patient_id:
        raise MissingAttribute("there is no PatientID")
    keys = {"PatientID": person.patient_id, "IssuerOfPatientID": person.issuer}
    for keyword, value in keys.items():
        if _PATTERN.search(value) or not is_text(value) or len(value) > _LONGEST:
            raise UnreadableText(f"no archive can be asked for exactly this {keyword}")
    return keys | dict.fromkeys(_TOLD, "")


def read_answers(person: Person, answers: Iterable[Dataset]) -> PatientStudies:
    """Read the answers of C-FIND or QIDO-RS.

    Parameters
    ----------
    person : Person
        Who was asked for.
    answers : iterable of Dataset
        The first `MOST` of them are read.
    """
    return _believed(person, [partial(_text, answer) for answer in answers][:MOST])


def read_told(person: Person, answers: Iterable[Mapping[str, str]]) -> PatientStudies:
    """Read answers that are texts by keyword.

    Parameters
    ----------
    person : Person
        Who was asked for.
    answers : iterable of mapping
        The first `MOST` of them are read.
    """
    return _believed(person, [partial(_looked_up, answer) for answer in answers][:MOST])


def person_of(told: Told) -> Person:
    """Read whom an answer or a header is about.

    Raises
    ------
    UnreadableText
        Nobody can tell for certain.
    """
    return Person(
        told("PatientID"),
        told("IssuerOfPatientID"),
        told("PatientName"),
        told("PatientBirthDate"),
    )


def is_of(person: Person, told: Told) -> bool:
    """Whether an answer or a header is about a patient.

    Where we know the name, the other side must tell one, or the birth date: a number alone is not
    enough.
    """
    try:
        other = person_of(told)
    except UnreadableText:
        return False
    compared = other.name or (other.birth_date and person.birth_date) or not person.name
    return bool(compared) and same_person(person, other)


def texts_of(header: Dataset) -> Told:
    """Return what tells the texts of a data set."""
    return partial(_text, header)


def _believed(person: Person, answers: Sequence[Told]) -> PatientStudies:
    ours = [study for told in answers if is_of(person, told) and (study := _held_study(told))]
    once = {one.study_instance_uid: one for one in ours}
    return PatientStudies(tuple(once.values()), len(answers) - len(ours))


def _held_study(told: Told) -> HeldStudy | None:
    uid = _shown(told, "StudyInstanceUID")
    if not _UID.fullmatch(uid):
        return None
    modalities = _shown(told, "ModalitiesInStudy").split("\\")
    return HeldStudy(
        study_instance_uid=uid,
        date=_shown(told, "StudyDate"),
        description=_shown(told, "StudyDescription"),
        modalities=tuple(one for one in modalities if one),
    )


def _shown(told: Told, keyword: str) -> str:
    """Return a text for people; one that cannot be read is left out."""
    with suppress(UnreadableText):
        return cleaned(told(keyword))[:_LONGEST_SHOWN]
    return ""


def _looked_up(answer: Mapping[str, str], keyword: str) -> str:
    return str(answer.get(keyword, "")).strip(" \0")


def _text(answer: Dataset, keyword: str) -> str:
    """Decode an attribute strictly; what pydicom would make of odd values is not asked."""
    settle_text(answer, keyword)
    element = answer.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):  # plain ASCII, as `settle_text` leaves it
        return value.decode("ascii", "replace").strip(" \0")
    return "\\".join(texts(value)).strip(" \0")
