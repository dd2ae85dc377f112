"""DICOMweb user agent: STOW-RS, QIDO-RS and WADO-RS (PS3.18 10.4 to 10.6)."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicom_io.archives.answers import CONFLICT, DUPLICATE, dimse_error
from dicom_io.archives.http import (
    NOTHING_TO_STORE,
    PATIENCE,
    TIMEOUT_S,
    Login,
    ask,
    ask_again,
    connected,
    displayable,
    secured,
    within,
)
from dicom_io.archives.multipart import enclose, parts
from dicom_io.archives.patients.identity import Person, identities_of
from dicom_io.archives.patients.studies import MOST, PatientStudies, patient_keys, read_answers
from dicom_io.archives.proving.inventory import STUDY_KEYS, WANTED, ct_inventory, held_series
from dicom_io.archives.proving.proof import Found, InstanceReference, counted, held
from dicom_io.archives.tls import Tls
from dicom_io.errors import AssociationRejected, NotRetrieved, PeerUnreachable

DICOM_JSON = {"Accept": "application/dicom+json"}
AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
# Lists and images take their time, and servers may keep them elsewhere
RETRIEVAL = {"timeout": PATIENCE, "follow_redirects": True}


@dataclass(frozen=True)
class Dicomweb:
    """An archive reached by DICOMweb.

    Parameters
    ----------
    url : str
        Root of the service, such as `http://127.0.0.1:18042/dicom-web`.
    login : (str, str), Bearer or ClientCredentials, optional
        User and password, a token, or where to ask for tokens.
    timeout_s : float
        Of all verbs but `search` and `fetch`.
    counts : bool
        An instance is found by the number of instances of its series: some servers answer no
        query for instances.
    tls : Tls, optional
        Certificates, where the system's authorities do not do.
    """

    url: str
    login: Login | None = field(default=None, repr=False)
    timeout_s: float = TIMEOUT_S
    counts: bool = False
    tls: Tls | None = None

    def store(self, *paths: Path) -> None:
        """Store instances by STOW-RS, one a request (PS3.18 10.5)."""
        with self._client() as client:
            for path in paths:
                study = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
                body, content_type = enclose(path.read_bytes())
                headers = DICOM_JSON | {"Content-Type": content_type}
                where = f"studies/{study.StudyInstanceUID}"
                post = partial(client.post, where, content=body, headers=headers)
                self._check_stored(ask(post, self._peer, CONFLICT))

    def find(self, reference: InstanceReference) -> Found:
        """Look for an instance by QIDO-RS, and for the patient of its study (PS3.18 10.6)."""
        study, series = reference.study_instance_uid, reference.series_instance_uid
        if self.counts:
            asked = {"SeriesInstanceUID": series, "includefield": "NumberOfSeriesRelatedInstances"}
            path, count = f"studies/{study}/series", counted
        else:
            asked = {"SOPInstanceUID": reference.sop_instance_uid}
            path, count = f"studies/{study}/series/{series}/instances", held
        with self._client() as client:
            answers = self._query(client, path, **asked)
            studies = self._query(
                client, "studies", StudyInstanceUID=study, includefield="PatientID,PatientName"
            )
        return Found(count(answers, reference), identities_of(studies, study))

    def count(self, study_instance_uid: str) -> dict[str, int]:
        """Ask for NumberOfSeriesRelatedInstances of each CT series (PS3.18 10.6)."""
        path = f"studies/{study_instance_uid}/series"
        with self._client() as client:
            asked = {"includefield": "NumberOfSeriesRelatedInstances"}
            return ct_inventory(self._query(client, path, **asked))

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """Read the metadata of each SR series (PS3.18 10.4): queries tell few attributes."""
        study = f"studies/{study_instance_uid}/series"
        with self._client() as client:
            series = held_series(self._query(client, study, Modality="SR"), ("SR",))
            found = [
                self._query(client, f"{study}/{one.series_instance_uid}/metadata") for one in series
            ]
        return [report for one in found for report in one]

    def search(self, dates: str, modality: str) -> list[Dataset]:
        """List studies by QIDO-RS, page after page."""
        wanted = {"ModalitiesInStudy": modality} | ({"StudyDate": dates} if dates else {})
        with self._client(**RETRIEVAL) as client:
            return self._every(
                client, "studies", "StudyInstanceUID", **wanted, includefield=list(STUDY_KEYS)
            )

    def studies_of(self, person: Person) -> PatientStudies:
        """List the studies of a patient by QIDO-RS (PS3.18 10.6)."""
        keys = patient_keys(person)
        wanted: dict[str, Any] = {keyword: value for keyword, value in keys.items() if value}
        told = [keyword for keyword, value in keys.items() if not value]
        with self._client() as client:
            answers = self._query(client, "studies", **wanted, includefield=told, limit=MOST)
        return read_answers(person, answers)

    def fetch(
        self, study_instance_uid: str, folder: Path, modalities: Collection[str] = WANTED
    ) -> None:
        """Download a study by WADO-RS, series after series (PS3.18 10.4).

        Parameters as `Archive.fetch`.
        """
        study = f"studies/{study_instance_uid}/series"
        asked = {"includefield": "NumberOfSeriesRelatedInstances"}
        try:
            with self._client(**RETRIEVAL) as client:
                answers = self._every(client, study, "SeriesInstanceUID", **asked)
                for series in held_series(answers, modalities):
                    path = f"{study}/{series.series_instance_uid}"
                    series.check(self._download(client, path, folder))
        except AssociationRejected as error:
            if error.status == httpx.codes.NOT_FOUND:
                raise NotRetrieved(f"{self._peer} answers 404") from None
            raise

    def takes(self, *sop_classes: str) -> frozenset[str]:
        """Ask to store nothing: a service that is not there, or refuses the user, says so.

        Before it sees an object, a server does not tell which classes it stores.
        """
        with self._client() as client:
            ask(partial(client.post, "studies", headers=DICOM_JSON), self._peer, *NOTHING_TO_STORE)
        return frozenset(sop_classes)

    def remove(self, study_instance_uid: str) -> bool:
        """Send DELETE, which many servers offer and PS3.18 does not know."""
        with self._client() as client:
            try:
                ask(partial(client.delete, f"studies/{study_instance_uid}"), self._peer)
            except (AssociationRejected, PeerUnreachable):
                return False
        return True

    def check(self) -> None:
        """Verify that the service answers a query."""
        with self._client() as client:
            self._query(client, "studies", limit="1")

    @property
    def _peer(self) -> str:
        return displayable(self.url)

    def _client(self, **options: Any) -> httpx.Client:
        options = {"timeout": within(self.timeout_s), **secured(self.login, self.tls), **options}
        return httpx.Client(base_url=self.url, **options)

    def _query(self, client: httpx.Client, path: str, **parameters: Any) -> list[Dataset]:
        get = partial(client.get, path, params=parameters, headers=DICOM_JSON)
        return self._data_sets(ask_again(get, self._peer))

    def _every(
        self, client: httpx.Client, path: str, keyword: str, **parameters: Any
    ) -> list[Dataset]:
        """Page through the answers; a server may cap them, or take no notice of the offset.

        (Orthanc 1.10 does the latter: an answer that brings nothing new is the last.)
        """
        found: dict[tuple[str, str], Dataset] = {}
        before = -1
        while before < len(found):
            before = len(found)
            for answer in self._query(client, path, **parameters, offset=before):
                patient = str(answer.get("PatientID", ""))
                found[str(answer.get(keyword, "")), patient] = answer
        return list(found.values())

    def _download(self, client: httpx.Client, path: str, folder: Path) -> int:
        """Save the objects of a series under numbers as they arrive; returns how many."""
        request = client.build_request("GET", path, headers=AS_STORED)
        number = first = len(list(folder.iterdir()))
        send = partial(client.send, request, stream=True)
        with closing(ask_again(send, self._peer)) as answer, connected(self._peer):
            for part in parts(answer.iter_bytes(), answer.headers.get("Content-Type", "")):
                target = folder / f"{number:06d}.dcm"
                with target.open("wb") as file:
                    file.writelines(part)
                _check_object(target)
                number += 1
        return number - first

    def _check_stored(self, answer: httpx.Response) -> None:
        """Read the store response: 202 and 409 name what was not stored (PS3.18 10.5.3).

        A server that says something else has taken the instance, or holds it already: whoever
        wants to know looks for it.
        """
        try:
            sets = self._data_sets(answer)
        except AssociationRejected:
            return
        for item in (failed for one in sets for failed in one.get("FailedSOPSequence") or ()):
            reason = int(item.get("FailureReason") or 0)
            if reason != DUPLICATE:
                raise dimse_error(f"{self._peer} did not store the instance", reason)

    def _data_sets(self, answer: httpx.Response) -> list[Dataset]:
        """Read an answer: a list to a query, one data set to a store, or nothing at all."""
        try:
            content = answer.json() if answer.content else []
            listed = [content] if isinstance(content, dict) else content
            return [Dataset.from_json(one) for one in listed]
        # what servers send instead of DICOM JSON fails in any of these ways
        except (ValueError, TypeError, KeyError, AttributeError):
            raise AssociationRejected(f"{self._peer} does not answer with DICOM JSON") from None


def _check_object(path: Path) -> None:
    try:
        dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, EOFError, ValueError) as error:
        raise NotRetrieved(f"a part of the answer is no object ({type(error).__name__})") from None
