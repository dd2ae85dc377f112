"""How soon a study is drafted, and what its headers say of that."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset


class Urgency(IntEnum):
    """The smaller goes first."""

    STAT = 0
    HIGH = 1
    ROUTINE = 2
    LOW = 3

    @property
    def word(self) -> str:
        """As settings and the timeline write it."""
        return self.name.lower()


# RequestedProcedurePriority (PS3.3 C.4.11), ReportingPriority (C.4.17) and the retired
# StudyPriorityID (0032,000C), in the words of HL7's table 0027 and of real systems, too
_KEYWORDS = ("RequestedProcedurePriority", "ReportingPriority", "StudyPriorityID")
_WORDS = {
    **dict.fromkeys(("STAT", "S", "EMERGENCY"), Urgency.STAT),
    **dict.fromkeys(("HIGH", "ASAP", "A", "URGENT"), Urgency.HIGH),
    **dict.fromkeys(("ROUTINE", "R", "MEDIUM", "NORMAL"), Urgency.ROUTINE),
    **dict.fromkeys(("LOW",), Urgency.LOW),
}
# HL7 tables 0027 and 0485, which orders use; P is before an operation, T critical to the minute
_OF_ORDERS = {
    **_WORDS,
    **dict.fromkeys(("P", "T"), Urgency.HIGH),
    **dict.fromkeys(("C", "CR", "CS", "CSP", "UD", "PRN"), Urgency.ROUTINE),
}


def urgency_named(word: str) -> Urgency | None:
    """Return the urgency of a priority of HL7; "TS10" is critical within ten seconds."""
    said = word.strip().upper()
    critical = said[:1] == "T" and said[1:2] in ("S", "M", "H", "D") and said[2:].isdecimal()
    return Urgency.HIGH if critical else _OF_ORDERS.get(said)


def urgency_in(header: Dataset) -> Urgency | None:
    """The most urgent of what a header says; None where it says nothing that is known."""
    from dicom_io.values import texts  # pydicom, which a process without headers does not need

    said = (text for keyword in _KEYWORDS for text in texts(_value(header, keyword)))
    known = [_WORDS[word] for text in said if (word := text.strip().upper()) in _WORDS]
    return min(known, default=None)


def _value(header: Dataset, keyword: str) -> object:
    try:
        return header.get(keyword)
    except Exception:  # noqa: BLE001  what pydicom cannot read says nothing
        return None
