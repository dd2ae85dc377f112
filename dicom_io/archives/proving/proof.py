"""Proof of delivery: what to look for in an archive, and what finding it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pydicom import Dataset

from dicom_io.archives.patients.identity import Identity, names_differ


@dataclass(frozen=True)
class InstanceReference:
    """The three UIDs that name one SOP Instance in its study (PS3.4 C.6.2.1)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    @classmethod
    def of(cls, header: Dataset) -> InstanceReference:
        """Read the reference of an instance from its header."""
        return cls(
            str(header.StudyInstanceUID), str(header.SeriesInstanceUID), str(header.SOPInstanceUID)
        )


@dataclass(frozen=True)
class Found:
    """What an archive holds.

    Parameters
    ----------
    instances : int
        How many instances answer to the reference; 0 while it has not arrived.
    identities : frozenset of Identity
        Of the instance's study as the archive knows it. More than one when the archive keeps two
        patients apart under one StudyInstanceUID.
    """

    instances: int
    identities: frozenset[Identity]


def held(answers: Iterable[Dataset], reference: InstanceReference) -> int:
    """Count the answers to a query for instances that are the one of the reference."""
    return sum(one.get("SOPInstanceUID") == reference.sop_instance_uid for one in answers)


def counted(answers: Iterable[Dataset], reference: InstanceReference) -> int:
    """Add up the instances of the reference's series, which holds nothing else."""
    of_series = [
        one for one in answers if one.get("SeriesInstanceUID") == reference.series_instance_uid
    ]
    return sum(int(one.get("NumberOfSeriesRelatedInstances") or 0) for one in of_series)


class Verdict(Enum):
    """What a look at the archive proves."""

    PROVED = "proved"
    RENAMED = "proved, but the archive has another name for the PatientID"
    MISSING = "missing"
    OTHER_ID = "under another PatientID, with no other name"
    APART = "the study is kept under several PatientIDs"
    OTHER_PATIENT = "another patient or study"


STANDING = (Verdict.PROVED, Verdict.RENAMED)
"""What counts as delivered."""


def judge(found: Found, expected: Identity) -> Verdict:
    """Return whether the archive holds the instance under the study and patient of `expected`.

    PatientID and study decide. The name does where the PatientID differs or is empty: archives put
    an issuer or a site's prefix before it, or a master index gives the patient another one.
    """
    if not (found.instances and found.identities):
        return Verdict.MISSING
    if any(_is_other_patient(one, expected) for one in found.identities):
        return Verdict.OTHER_PATIENT
    if len({one.patient_id for one in found.identities}) > 1:
        return Verdict.APART
    if any(one.patient_id != expected.patient_id for one in found.identities):
        return Verdict.OTHER_ID
    return (
        Verdict.RENAMED
        if any(_differ(one, expected) for one in found.identities)
        else Verdict.PROVED
    )


def _is_other_patient(found: Identity, expected: Identity) -> bool:
    if found.study_instance_uid not in (expected.study_instance_uid, ""):
        return True
    same_id = found.patient_id == expected.patient_id != ""
    return not same_id and _differ(found, expected)


def _differ(found: Identity, expected: Identity) -> bool:
    return names_differ(expected.patient_name, found.patient_name)
