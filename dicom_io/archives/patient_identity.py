"""Proof of delivery: what to look for on a destination, and what finding it says.

The identities here are compared in memory only. They have no readable `repr`, so that none can
slip into a log line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from pydicom import Dataset
from pydicom.valuerep import PersonName


@dataclass(frozen=True)
class InstanceReference:
    """The three UIDs that name one SOP Instance in its study (PS3.4 C.6.2.1)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Identity:
    """The study that an object belongs to, and the patient it names."""

    study_instance_uid: str
    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)


@dataclass(frozen=True)
class Found:
    """What a destination holds.

    Parameters
    ----------
    instances : int
        How many instances answer to the reference; 0 while it has not arrived.
    identities : frozenset of Identity
        Of the instance's study as the destination knows it. More than one when the destination
        keeps two patients apart under one StudyInstanceUID.
    """

    instances: int
    identities: frozenset[Identity]


class Verdict(Enum):
    """What a look at the destination proves."""

    PROVED = "proved"
    MISSING = "missing"
    WRONG_IDENTITY = "wrong identity"


def judge(found: Found, expected: Identity) -> Verdict:
    """Return whether the destination holds the instance under `expected`, and nothing else."""
    if not found.instances:
        return Verdict.MISSING
    if found.identities != {expected}:
        return Verdict.WRONG_IDENTITY
    return Verdict.PROVED


def reference_of(header: Dataset) -> InstanceReference:
    """Return the reference of an instance from its header."""
    return InstanceReference(
        str(header.StudyInstanceUID), str(header.SeriesInstanceUID), str(header.SOPInstanceUID)
    )


def identity_of(header: Dataset) -> Identity:
    """Return the identity that a header names, without padding that systems add and drop.

    Trailing spaces, empty name components and empty component groups carry no meaning
    (PS3.5 6.2 and 6.2.1).
    """
    return Identity(
        str(header.StudyInstanceUID).strip(),
        str(header.get("PatientID") or "").strip(),
        _plain_name(header.get("PatientName") or ""),
    )


def identities_of(headers: Iterable[Dataset]) -> frozenset[Identity]:
    return frozenset(identity_of(header) for header in headers)


def _plain_name(name: PersonName | str) -> str:
    groups = [
        "^".join(component.strip() for component in group.split("^")).rstrip("^")
        for group in str(name).split("=")
    ]
    return "=".join(groups).rstrip("=")
