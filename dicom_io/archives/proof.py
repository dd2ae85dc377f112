"""Proof of delivery: what to look for in an archive, and what finding it says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pydicom import Dataset

from dicom_io.archives.patient_identity import Identity


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


class Verdict(Enum):
    """What a look at the archive proves."""

    PROVED = "proved"
    MISSING = "missing"
    WRONG_IDENTITY = "wrong identity"


def judge(found: Found, expected: Identity) -> Verdict:
    """Return whether the archive holds the instance under `expected`, and nothing else."""
    if not found.instances:
        return Verdict.MISSING
    if found.identities != {expected}:
        return Verdict.WRONG_IDENTITY
    return Verdict.PROVED
