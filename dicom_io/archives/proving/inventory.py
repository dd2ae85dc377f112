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

REPORT_KEYS = ("SOPInstanceUID", "SOPClassUID", "CompletionFlag", "VerificationFlag")
"""What a query for reports asks to be told."""


@dataclass(frozen=True)
class HeldSeries:
    """A series of a study in an archive.

    Parameters
    ----------
    series_instance_uid : str
        Its UID.
    instances : int, optional
        How many the archive says that it holds.
    """

    series_instance_uid: str = field(repr=False)
    instances: int | None

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


def held_series(answers: Iterable[Dataset], modalities: Iterable[str] = WANTED) -> list[HeldSeries]:
    """Read the answers to a query for series, in the order of their UIDs.

    The number of instances is optional (PS3.4 table C.6-3).
    """
    held = []
    for answer in answers:
        if answer.get("Modality") in modalities:
            count = answer.get("NumberOfSeriesRelatedInstances")
            number = None if count in (None, "") else int(count)
            held.append(HeldSeries(str(answer.SeriesInstanceUID), number))
    return sorted(held, key=lambda series: series.series_instance_uid)


def ct_inventory(answers: Iterable[Dataset]) -> dict[str, int]:
    """Map each CT series whose number the archive tells to that number."""
    series = held_series(answers, ("CT",))
    return {one.series_instance_uid: one.instances for one in series if one.instances is not None}


def missing_from(received: Mapping[str, int], inventory: Mapping[str, int]) -> int:
    """Count the instances that the archive holds and that have not arrived here."""
    return sum(max(0, held - received.get(uid, 0)) for uid, held in inventory.items())
