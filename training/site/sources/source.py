"""Where studies come from: what every source can do, and what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from pydicom import Dataset


@dataclass(frozen=True)
class Query:
    """Which studies are wanted.

    Parameters
    ----------
    first, last : date, optional
        The days of the study, both included.
    modality : str
        That a study must hold images of (PS3.3 C.7.3.1.1.1).
    """

    first: date | None = None
    last: date | None = None
    modality: str = "CT"

    @property
    def date_range(self) -> str:
        """The days as a query writes them (PS3.4 C.2.2.2.5.1); nothing where any will do."""
        ends = [f"{day:%Y%m%d}" if day else "" for day in (self.first, self.last)]
        return "-".join(ends) if any(ends) else ""

    def covers(self, study_date: str) -> bool:
        """Whether a study of this date (YYYYMMDD) is wanted; one without a date never is."""
        first, _, last = self.date_range.partition("-")
        return not (first or last) or (bool(study_date) and first <= study_date <= (last or "9"))


@dataclass(frozen=True)
class StudyReference:
    """A study as its source names it. Everything here identifies; none of it may be shown.

    Parameters
    ----------
    paths : tuple of str
        Its files, where the source is a folder.
    """

    study_instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_date: str = field(default="", repr=False)
    paths: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, header: Dataset) -> StudyReference:
        """Read a header of the study, or an archive's answer to a query for it."""
        return cls(
            stated(header, "StudyInstanceUID"),
            stated(header, "PatientID"),
            stated(header, "AccessionNumber"),
            stated(header, "StudyDate").replace(".", ""),
        )


class Source(Protocol):
    """Something that holds studies."""

    def studies(self, query: Query) -> Iterator[StudyReference]:
        """List the studies that are wanted, by date and UID.

        Raises
        ------
        PeerUnreachable, AssociationRejected
            The archive does not answer, or refuses.
        """
        ...

    def fetch(self, study: StudyReference, folder: Path) -> None:
        """Put every object of a study into an empty folder, under names that say nothing."""
        ...

    @property
    def may_be_shared(self) -> bool:
        """Whether several processes may fetch at once."""
        ...


def stated(header: Dataset, keyword: str) -> str:
    """A value as text without the padding around it; nothing where there is none."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip(" \0")
