"""Proof of delivery: one look at an archive, and what is wrong with what it shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom import dcmread

from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.delivery.destinations import Destination, Proof

WRONG = {
    Verdict.OTHER_PATIENT: "found under another patient or study: correct it there at once",
    Verdict.OTHER_ID: (
        "found under another PatientID, and the archive holds no CT of the study to compare with: "
        "look whose it is"
    ),
    Verdict.APART: (
        "the archive keeps the study under several PatientIDs: the report may not stand beside "
        "the CT"
    ),
}
"""What a person is told; only the first says that the patient is another one."""

NOT_SENT = (
    "not sent: the archive has the study under another patient. If the archive is right, send the "
    "study here again as it is there; if not, correct it there, then run `ctscribe redeliver`"
)


def belongs_to_another(destination: Destination, path: Path) -> bool:
    """Whether an archive has the study of a report object, under another patient than it names.

    One that cannot be asked has not said so.
    """
    if destination.proof is Proof.NONE:
        return False
    header = dcmread(path, stop_before_pixels=True)
    try:
        found = destination.archive.find(InstanceReference.of(header))
    except (PeerUnreachable, AssociationRejected):
        return False
    # As if the object stood there: what matters is whose study it is
    return judge(replace(found, instances=1), identity_of(header)) is Verdict.OTHER_PATIENT


def look(destination: Destination, path: Path) -> Verdict | None:
    """Look for a report object; None where the destination owes no such proof.

    A study that the archive keeps under one PatientID that is not ours, with CT in it and without
    another name, is the CT's own study under the archive's PatientID: the report stands beside it.

    Raises
    ------
    PeerUnreachable, AssociationRejected
        The archive cannot be asked.
    """
    if destination.proof in (Proof.NONE, Proof.COMMITMENT):
        return None
    header = dcmread(path, stop_before_pixels=True)
    found = destination.archive.find(InstanceReference.of(header))
    verdict = judge(found, identity_of(header))
    if verdict is Verdict.OTHER_ID and destination.archive.count(str(header.StudyInstanceUID)):
        return Verdict.PROVED
    return verdict
