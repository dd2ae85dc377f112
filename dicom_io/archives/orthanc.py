"""Orthanc's REST API: a thin layer over pyorthanc with timeouts and our errors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyorthanc
from pydicom import Dataset

from dicom_io.archives.http import (
    NOTHING_TO_STORE,
    PATIENCE,
    TIMEOUT_S,
    Login,
    ask,
    ask_again,
    displayable,
    secured,
    within,
)
from dicom_io.archives.patients.identity import Person, identities_of
from dicom_io.archives.patients.studies import MOST, PatientStudies, patient_keys, read_told
from dicom_io.archives.proving.inventory import REPORT_KEYS, STUDY_KEYS, WANTED
from dicom_io.archives.proving.proof import Found, InstanceReference
from dicom_io.archives.tls import Tls
from dicom_io.errors import AssociationRejected, NotRetrieved, PeerUnreachable

IDENTITY_KEYS = ("StudyInstanceUID", "PatientID", "PatientName")


@dataclass(frozen=True)
class Orthanc:
    """An Orthanc reached by its REST API.

    Parameters
    ----------
    url : str
        Root of the API, such as `http://127.0.0.1:18042`.
    login : (str, str), Bearer or ClientCredentials, optional
        User and password, a token, or where to ask for tokens.
    timeout_s : float
        Of all verbs but `search`.
    tls : Tls, optional
        Certificates, where the system's authorities do not do.
    """

    url: str
    login: Login | None = field(default=None, repr=False)
    timeout_s: float = TIMEOUT_S
    tls: Tls | None = None

    def store(self, *paths: Path) -> None:
        """Upload instances; Orthanc says of one that it holds that it is already stored."""
        with self._client() as client:
            for path in paths:
                post = partial(client.post_instances, path.read_bytes())
                status = _store_status(ask(post, self._peer))
                if status not in ("Success", "AlreadyStored"):
                    raise AssociationRejected(f"{self._peer} did not store: {status}")

    def find(self, reference: InstanceReference) -> Found:
        """Look an instance up by its UID and read its tags back, and those of its study.

        Orthanc keeps a study once for every PatientID it came with, so that one StudyInstanceUID
        may belong to several patients: all of them are returned.
        """
        with self._client() as client:
            instances = [
                self._read(client.get_instances_id_simplified_tags, one)
                for one in self._look_up(client, "Instance", reference.sop_instance_uid)
            ]
            studies = [
                self._read(client.get_studies_id, one)
                for one in self._look_up(client, "Study", reference.study_instance_uid)
            ]
        series = reference.series_instance_uid
        held = [tags for tags in instances if tags["SeriesInstanceUID"] == series]
        headers = [_header(one, IDENTITY_KEYS) for one in [*held, *map(_main_tags, studies)]]
        return Found(len(held), identities_of(headers))

    def count(self, study_instance_uid: str) -> dict[str, int]:
        """Count the instances that each CT series lists."""
        with self._client() as client:
            series = self._series(client, study_instance_uid, ("CT",))
        return {one["MainDicomTags"]["SeriesInstanceUID"]: len(one["Instances"]) for one in series}

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """Read the tags of each object of an SR series."""
        with self._client() as client:
            return [
                _header(self._read(client.get_instances_id_simplified_tags, one), REPORT_KEYS)
                for series in self._series(client, study_instance_uid, ("SR",))
                for one in series["Instances"]
            ]

    def search(self, dates: str, modality: str) -> list[Dataset]:
        """List studies by `/tools/find`."""
        wanted = {"ModalitiesInStudy": modality} | ({"StudyDate": dates} if dates else {})
        asked = {"Level": "Study", "Expand": True, "Query": wanted}
        with self._client(PATIENCE) as client:
            found = self._find(client, "find", json=asked)
        return [_header(_main_tags(study), STUDY_KEYS) for study in found]

    def studies_of(self, person: Person) -> PatientStudies:
        """List the studies of a patient by `/tools/find`, and read a header of each.

        Its index does not keep every attribute that says whose a study is.
        """
        wanted = {keyword: value for keyword, value in patient_keys(person).items() if value}
        asked = {"Level": "Study", "Expand": True, "Limit": MOST, "Query": wanted}
        with self._client() as client:
            found = self._find(client, "find", json=asked)[:MOST]
            return read_told(person, [self._told(client, one["ID"]) for one in found])

    def fetch(
        self, study_instance_uid: str, folder: Path, modalities: Collection[str] = WANTED
    ) -> None:
        """Download a study; where Orthanc keeps it for several patients, those of all come.

        Parameters as `Archive.fetch`.
        """
        with self._client() as client:
            if not self._look_up(client, "Study", study_instance_uid):
                raise NotRetrieved(f"{self._peer} does not hold the study")
            series = self._series(client, study_instance_uid, modalities)
            instances = [instance for one in series for instance in one["Instances"]]
            for number, instance in enumerate(instances):
                answer = ask_again(partial(client.get_instances_id_file, instance), self._peer)
                (folder / f"{number:06d}.dcm").write_bytes(answer.content)

    def takes(self, *sop_classes: str) -> frozenset[str]:
        """Upload nothing: a refusal of the user shows. Orthanc stores every class."""
        with self._client() as client:
            ask(partial(client.post_instances, b""), self._peer, *NOTHING_TO_STORE)
        return frozenset(sop_classes)

    def remove(self, study_instance_uid: str) -> bool:
        """Delete the study, where the user may."""
        with self._client() as client:
            try:
                held = self._look_up(client, "Study", study_instance_uid)
                for one in held:
                    ask(partial(client.delete_studies_id, one), self._peer)
            except (AssociationRejected, PeerUnreachable):
                return False
        return bool(held)

    def check(self) -> None:
        """Verify that Orthanc answers."""
        with self._client() as client:
            ask_again(client.get_system, self._peer)

    @property
    def _peer(self) -> str:
        return displayable(self.url.rstrip("/"))

    def _client(self, timeout: httpx.Timeout | None = None) -> pyorthanc.Orthanc:
        timeout = timeout or within(self.timeout_s)
        options = {"timeout": timeout, **secured(self.login, self.tls)}
        return pyorthanc.Orthanc(self.url.rstrip("/"), return_raw_response=True, **options)

    def _look_up(self, client: pyorthanc.Orthanc, level: str, uid: str) -> list[str]:
        """Return Orthanc's identifiers of what has a UID at a level ("Study", "Instance")."""
        found = self._find(client, "lookup", content=uid)
        return [one["ID"] for one in found if one["Type"] == level]

    def _series(
        self, client: pyorthanc.Orthanc, study_instance_uid: str, modalities: Iterable[str]
    ) -> list[dict[str, Any]]:
        return [
            series
            for study in self._look_up(client, "Study", study_instance_uid)
            for series in self._read(client.get_studies_id_series, study)
            if series["MainDicomTags"].get("Modality") in modalities
        ]

    def _told(self, client: pyorthanc.Orthanc, study: str) -> dict[str, str]:
        series = self._read(client.get_studies_id_series, study)
        modalities = {str(one["MainDicomTags"].get("Modality", "")) for one in series}
        instance = next((one for each in series for one in each["Instances"]), None)
        if instance is None:  # it is being deleted
            return {}
        tags = self._read(client.get_instances_id_simplified_tags, instance)
        return {**tags, "ModalitiesInStudy": "\\".join(sorted(modalities))}

    def _find(self, client: pyorthanc.Orthanc, tool: str, **asked: Any) -> list[dict[str, Any]]:
        # pyorthanc's own methods pass text as a form, which httpx deprecates
        post = partial(client.post, f"{client.url}/tools/{tool}", **asked)
        found: list[dict[str, Any]] = self._json(ask(post, self._peer))
        return found

    def _read(self, get: Callable[[str], httpx.Response], identifier: str) -> Any:
        return self._json(ask_again(partial(get, identifier), self._peer))

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise AssociationRejected(f"{self._peer} does not answer with JSON") from None


def _store_status(answer: httpx.Response) -> str:
    """Read the answer to an upload; what a proxy says in its place leaves open what happened."""
    try:
        return str(answer.json().get("Status"))
    except (ValueError, AttributeError):
        return "Success"


def _main_tags(study: dict[str, Any]) -> dict[str, str]:
    return {**study["MainDicomTags"], **study["PatientMainDicomTags"]}


def _header(tags: dict[str, str], keywords: Iterable[str]) -> Dataset:
    header = Dataset()
    for keyword in keywords:
        setattr(header, keyword, tags.get(keyword, ""))
    return header
