"""What every kind of archive can do, whatever protocol it speaks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from dicom_io.archives.patients.identity import Person
from dicom_io.archives.patients.studies import PatientStudies
from dicom_io.archives.proving.inventory import WANTED
from dicom_io.archives.proving.proof import Found, InstanceReference


class Target(Protocol):
    """A system that drafts are delivered to.

    Every method raises `PeerUnreachable` where a later attempt may succeed (no connection, no
    answer in time, a refusal that may pass), and `AssociationRejected` where the archive answers
    and refuses. No message names a patient or holds credentials.
    """

    def store(self, *paths: Path) -> None:
        """Store the instances in DICOM files; storing one twice does no harm."""

    def find(self, reference: InstanceReference) -> Found:
        """Look for an instance, and for the patient of its study."""

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        """Tell how many instances the archive holds of each CT series of a study."""

    def check(self) -> None:
        """Verify that the system answers."""


class Archive(Target, Protocol):
    """A system that keeps DICOM objects, and gives them back: `Dimse`, `Dicomweb` or `Orthanc`."""

    def search(self, dates: str, modality: str) -> list[Dataset]:
        """List studies with a series of a modality, each with `STUDY_KEYS`.

        `dates` is a range as a query writes it (PS3.4 C.2.2.2.5.1); empty where any will do.
        """

    def studies_of(self, person: Person) -> PatientStudies:
        """List the studies of one patient, and of nobody else with the same number.

        Raises
        ------
        MissingAttribute, UnreadableText
            Nobody can be asked for by this number: see `patient_keys`.
        """

    def fetch(
        self, study_instance_uid: str, folder: Path, modalities: Collection[str] = WANTED
    ) -> None:
        """Put the CT images and reports of a study into a folder, under numbers.

        Parameters
        ----------
        study_instance_uid : str
            Of the study.
        folder : Path
            An empty one.
        modalities : collection of str
            Of the series that are wanted.

        Raises
        ------
        NotRetrieved
            The archive does not give all that it says it holds.
        """

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """List the report objects of a study, each with `REPORT_KEYS` as far as it tells them."""

    def takes(self, *sop_classes: str) -> frozenset[str]:
        """Tell which classes of objects it would store, as far as it says so; sends none."""

    def remove(self, study_instance_uid: str) -> bool:
        """Ask to remove a study that we have sent; returns whether the archive does so."""
