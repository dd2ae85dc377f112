"""What a condition may ask: the attributes of a series by their DICOM keywords, and some more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from math import nan
from typing import Any

from pydicom import Dataset
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_io.values import leading_number, texts

NUMBERS = {
    "study_age_days": "days from the study's date to its arrival",
    "patient_age_years": "from PatientAge, or from birth date and study date",
    "hour": "local time of day at which the study began to arrive: 13.5 is half past one",
    "images": "how many images of the series have arrived",
}
TEXTS = {
    "sender": "AE title of whoever sent the study",
    "weekday": "of its arrival: Mon, Tue, Wed, Thu, Fri, Sat, Sun",
    "priority": "stat, high, routine or low, as the header says; empty where it says nothing",
}
FLAGS = {"redraft": "whether somebody asked for a draft, by sending it to `CTSCRIBE_AGAIN`"}
"""Names that are no DICOM keyword, and what they mean."""

_NUMBER_VRS = frozenset(["DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"])
# Sequences, references and bytes are nothing to compare
_NO_VALUE = re.compile("AT|SQ|UN|O.")
_AGE = re.compile(r"(\d+)\s*([DWMY])", re.IGNORECASE)
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.44, "Y": 365.25}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Arrived:
    """What the service knows of a study, whatever its headers say.

    Parameters
    ----------
    moment : datetime
        When it began to arrive, in local time.
    sender : str
        AE title; empty where it is not known.
    redraft : bool
        Whether somebody asked for a draft.
    """

    moment: datetime
    sender: str = ""
    redraft: bool = False


def kind_of(name: str) -> type | None:
    """Return float, str or bool for a name that a condition may use, None for any other."""
    for names, kind in ((NUMBERS, float), (TEXTS, str), (FLAGS, bool)):
        if name in names:
            return kind
    if tag_for_keyword(name) is None:
        return None
    representation = dictionary_VR(name)[:2]  # "US or SS" is a number either way
    if representation in _NUMBER_VRS:
        return float
    return None if _NO_VALUE.fullmatch(representation) else str


def alike(name: str) -> str | None:
    """Return the name that somebody may have meant."""
    known = [*NUMBERS, *TEXTS, *FLAGS, *(entry[4] for entry in DicomDictionary.values())]
    return next(iter(get_close_matches(name, known, n=1)), None)


class Facts(Mapping[str, Any]):
    """The values of all names for one series of a study.

    What is absent or cannot be read is the empty text, or a number that is neither smaller than,
    larger than nor equal to any other (NaN): no condition fails on it.

    Parameters
    ----------
    header : pydicom.Dataset
        Of an image of the series.
    images : int
        How many of its images have arrived.
    arrived : Arrived
        What is known of the study.
    priority : str
        Of the study.
    """

    def __init__(self, header: Dataset, images: int, arrived: Arrived, priority: str = "") -> None:
        self._header = header
        self._own: dict[str, Any] = {
            "study_age_days": _study_age(header, arrived.moment.date()),
            "patient_age_years": _patient_age(header),
            "hour": arrived.moment.hour + arrived.moment.minute / 60,
            "images": float(images),
            "sender": arrived.sender,
            "weekday": _WEEKDAYS[arrived.moment.weekday()],
            "priority": priority,
            "redraft": arrived.redraft,
        }

    def __getitem__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name]
        kind = kind_of(name)
        if kind is None:
            raise KeyError(name)
        return _number(self._header, name) if kind is float else _text(self._header, name)

    def __iter__(self) -> Any:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def _number(header: Dataset, keyword: str) -> float:
    try:
        number = leading_number(header, keyword)
    except Exception:  # noqa: BLE001  what pydicom cannot read is as absent
        return nan
    return nan if number is None else number


def _text(header: Dataset, keyword: str) -> str:
    try:
        return "\\".join(texts(header.get(keyword))).replace("\0", "").strip()
    except Exception:  # noqa: BLE001  what pydicom cannot read is as absent
        return ""


def _day(header: Dataset, keyword: str) -> date | None:
    try:
        return datetime.strptime(_text(header, keyword)[:8], "%Y%m%d").date()
    except ValueError:
        return None


def _study_age(header: Dataset, today: date) -> float:
    day = _day(header, "StudyDate")
    return nan if day is None else float((today - day).days)


def _patient_age(header: Dataset) -> float:
    if stated := _AGE.fullmatch(_text(header, "PatientAge")):
        return int(stated[1]) * _DAYS[stated[2].upper()] / _DAYS["Y"]
    born, studied = _day(header, "PatientBirthDate"), _day(header, "StudyDate")
    return nan if born is None or studied is None else (studied - born).days / _DAYS["Y"]
