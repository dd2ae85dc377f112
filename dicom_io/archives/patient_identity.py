"""Who an object belongs to, as far as two systems must agree on it.

Identities are compared in memory only. They have no readable `repr`, so that none can slip into a
log line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.valuerep import PersonName


@dataclass(frozen=True)
class Identity:
    """The study that an object belongs to, and the patient it names."""

    study_instance_uid: str
    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)


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
