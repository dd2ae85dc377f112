"""Where drafts go: three kinds of destination behind one protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dicom_io.archives import dicomweb, dimse, orthanc
from dicom_io.archives.patient_identity import Found, InstanceReference
from dicom_io.errors import ConfigurationError

Credentials = tuple[str, str]


class Destination(Protocol):
    """Takes an instance, and can be asked for it afterwards.

    Every method raises `PeerUnreachable` where a later attempt may succeed, and
    `AssociationRejected` where the destination answers and refuses.
    """

    @property
    def name(self) -> str:
        """What settings, deliveries and events call it."""

    def send(self, path: Path) -> None:
        """Store the instance in a DICOM file; sending it twice does no harm."""

    def find(self, reference: InstanceReference) -> Found:
        """Look for an instance, and for the patient of its study."""

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        """Tell how many instances it holds of each CT series of a study."""

    def check(self) -> None:
        """Verify that the destination answers."""


@dataclass(frozen=True)
class DimseDestination:
    """C-STORE, found again by C-FIND."""

    name: str
    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "CTSCRIBE"
    timeouts: dimse.Timeouts = field(default_factory=dimse.Timeouts)

    def send(self, path: Path) -> None:
        dimse.store(
            path,
            self.host,
            self.port,
            called_ae_title=self.ae_title,
            calling_ae_title=self.calling_ae_title,
            timeouts=self.timeouts,
        )

    def find(self, reference: InstanceReference) -> Found:
        return dimse.find_instance(
            reference,
            self.host,
            self.port,
            called_ae_title=self.ae_title,
            calling_ae_title=self.calling_ae_title,
            timeouts=self.timeouts,
        )

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        return dimse.count_instances(
            study_instance_uid,
            self.host,
            self.port,
            called_ae_title=self.ae_title,
            calling_ae_title=self.calling_ae_title,
            timeouts=self.timeouts,
        )

    def check(self) -> None:
        dimse.echo(
            self.host,
            self.port,
            called_ae_title=self.ae_title,
            calling_ae_title=self.calling_ae_title,
            timeouts=self.timeouts,
        )


@dataclass(frozen=True)
class DicomwebDestination:
    """STOW-RS, found again by QIDO-RS."""

    name: str
    url: str
    credentials: Credentials | None = field(default=None, repr=False)

    def send(self, path: Path) -> None:
        dicomweb.store(path, self.url, credentials=self.credentials)

    def find(self, reference: InstanceReference) -> Found:
        return dicomweb.find_instance(reference, self.url, credentials=self.credentials)

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        return dicomweb.count_instances(study_instance_uid, self.url, credentials=self.credentials)

    def check(self) -> None:
        dicomweb.check(self.url, credentials=self.credentials)


@dataclass(frozen=True)
class OrthancDestination:
    """Orthanc's REST API, found again by reading the tags back."""

    name: str
    url: str
    credentials: Credentials | None = field(default=None, repr=False)

    def send(self, path: Path) -> None:
        orthanc.store(path, self.url, credentials=self.credentials)

    def find(self, reference: InstanceReference) -> Found:
        return orthanc.find_instance(reference, self.url, credentials=self.credentials)

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        return orthanc.count_instances(study_instance_uid, self.url, credentials=self.credentials)

    def check(self) -> None:
        orthanc.check(self.url, credentials=self.credentials)


def read_credentials(variable: str | None) -> Credentials | None:
    """Read `user:password` from the environment variable that the settings name.

    Raises
    ------
    ConfigurationError
        The variable is not set, or holds no colon.
    """
    if variable is None:
        return None
    user, colon, password = os.environ.get(variable, "").partition(":")
    if not (user and colon):
        raise ConfigurationError(f"the environment variable {variable} must hold user:password")
    return user, password
