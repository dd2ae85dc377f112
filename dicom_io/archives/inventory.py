"""What an archive says that it holds: what is asked of it, and how completeness is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydicom import Dataset

from dicom_io.errors import NotRetrieved

WANTED = ("CT", "SR")
"""Modalities of the series that are fetched: images, and the reports beside them."""

STUDY_KEYS = ("StudyInstanceUID", "PatientID", "AccessionNumber", "StudyDate")
"""What a query for studies asks to be told."""


def ct_inventory(series: Iterable[Dataset]) -> dict[str, int]:
    """Read the answers to a query for series: SeriesInstanceUID to number of instances.

    Series of other modalities are left out, and so are those whose number the archive does not
    tell: NumberOfSeriesRelatedInstances is optional (PS3.4 table C.6-3).
    """
    return {
        str(one.SeriesInstanceUID): int(one.NumberOfSeriesRelatedInstances)
        for one in series
        if one.get("Modality") == "CT" and one.get("NumberOfSeriesRelatedInstances") is not None
    }


def missing_from(received: Mapping[str, int], inventory: Mapping[str, int]) -> int:
    """Count the instances that the archive holds and that have not arrived here."""
    return sum(max(0, held - received.get(uid, 0)) for uid, held in inventory.items())


@dataclass(frozen=True)
class SeriesReference:
    """A series that is to be fetched.

    Parameters
    ----------
    study_instance_uid, series_instance_uid : str
        Its UIDs.
    instances : int, optional
        How many the archive says that it holds.
    """

    study_instance_uid: str = field(repr=False)
    series_instance_uid: str = field(repr=False)
    instances: int | None = None

    @classmethod
    def of(cls, answer: Dataset, study_instance_uid: str) -> SeriesReference:
        """Read an answer to a query for series (PS3.4 table C.6-3)."""
        count = answer.get("NumberOfSeriesRelatedInstances")
        number = int(count) if count not in (None, "") else None
        return cls(study_instance_uid, str(answer.SeriesInstanceUID), number)

    def check(self, received: int) -> None:
        """Refuse a series of which less came than the archive holds.

        Raises
        ------
        NotRetrieved
            Which series is not said.
        """
        if received == 0 or (self.instances is not None and received < self.instances):
            held = "some" if self.instances is None else self.instances
            raise NotRetrieved(f"{received} of {held} instances of a series came")


def wanted_series(answers: Iterable[Dataset], study_instance_uid: str) -> list[SeriesReference]:
    """The series of a study that are to be fetched, in the order of their UIDs."""
    found = (a for a in answers if a.get("Modality") in WANTED)
    references = (SeriesReference.of(answer, study_instance_uid) for answer in found)
    return sorted(references, key=lambda series: series.series_instance_uid)
