"""DICOMweb user agent that lists and retrieves studies: QIDO-RS and WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from dicom_io.archives.http import RETRYABLE_STATUS, displayable
from dicom_io.archives.retrieval import STUDY_KEYS, SeriesReference, wanted_series
from dicom_io.errors import AssociationRejected, CtscribeError, NotRetrieved, PeerUnreachable

TIMEOUT_S = (10.0, 600.0)
"""To connect, and between two pieces of an answer."""

_AS_STORED = (("application/dicom", "*"),)
_ATTEMPTS = 3
_PAUSE_MS = 500
_SERVER_ERROR = 500
_GONE = 404


@dataclass(frozen=True)
class WadoServer:
    """A DICOMweb server that studies come from.

    Parameters
    ----------
    url : str
        Root of the service.
    credentials : (str, str), optional
        User and password, for HTTP Basic authentication.
    token : str, optional
        For `Authorization: Bearer`.
    """

    url: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def find_studies(self, date_range: str, modality: str) -> list[Dataset]:
        """List studies with a series of a modality; `date_range` as in a DICOM query, or nothing.

        Raises
        ------
        PeerUnreachable
            No answer, or one that may be another later.
        AssociationRejected
            The server refuses, or does not answer with DICOM JSON.
        """
        wanted = {"ModalitiesInStudy": modality} | ({"StudyDate": date_range} if date_range else {})
        with self._client() as client:
            search = partial(
                client.search_for_studies, search_filters=wanted, fields=list(STUDY_KEYS)
            )
            return _every(search, "StudyInstanceUID")

    def fetch_study(self, study_instance_uid: str, folder: Path) -> None:
        """Download the CT images and reports of a study into a folder, under numbers.

        Raises
        ------
        NotRetrieved
            The server does not give all that it says it holds.
        PeerUnreachable, AssociationRejected
            As above.
        """
        with self._client() as client:
            fields = ["NumberOfSeriesRelatedInstances"]
            search = partial(client.search_for_series, study_instance_uid, fields=fields)
            answers = _every(search, "SeriesInstanceUID")
            for series in wanted_series(answers, study_instance_uid):
                _fetch(client, series, folder)

    @contextmanager
    def _client(self) -> Iterator[DICOMwebClient]:
        peer = displayable(self.url)
        session = requests.Session()
        session.auth = self.credentials
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else None
        try:
            with session:
                client = DICOMwebClient(
                    self.url.rstrip("/"), session, headers=headers, timeout=TIMEOUT_S
                )
                client.set_http_retry_params(True, _ATTEMPTS, _PAUSE_MS)
                yield client
        except requests.HTTPError as error:
            raise _refusal(error.response, peer) from None
        except requests.JSONDecodeError:
            raise AssociationRejected(f"{peer} does not answer with DICOM JSON") from None
        except requests.RequestException as error:
            raise PeerUnreachable(f"{peer} does not answer: {type(error).__name__}") from None


def _every(search: Callable[..., list[dict[str, Any]]], keyword: str) -> list[Dataset]:
    """Page through the answers; a server may cap them, or take no notice of the offset.

    (Orthanc 1.10 does the latter; the client's own `get_remaining` never ends there.)
    """
    found: dict[tuple[str, str], Dataset] = {}
    before = -1
    while before < len(found):
        before = len(found)
        for answer in map(Dataset.from_json, search(offset=before)):
            patient = str(answer.get("PatientID", ""))
            found[str(answer.get(keyword, "")), patient] = answer
    return list(found.values())


def _fetch(client: DICOMwebClient, series: SeriesReference, folder: Path) -> None:
    received = 0
    start = len(list(folder.iterdir()))
    try:
        for dataset in client.iter_series(
            series.study_instance_uid, series.series_instance_uid, media_types=_AS_STORED
        ):
            dataset.save_as(folder / f"{start + received:06d}.dcm")
            received += 1
    except (InvalidDicomError, EOFError, ValueError) as error:
        raise NotRetrieved(f"a part of the answer is no object ({type(error).__name__})") from None
    series.check(received)


def _refusal(answer: requests.Response | None, peer: str) -> CtscribeError:
    status = _SERVER_ERROR if answer is None else answer.status_code
    if status == _GONE:
        return NotRetrieved(f"{peer} answers 404")
    if status >= _SERVER_ERROR or status in RETRYABLE_STATUS:
        return PeerUnreachable(f"{peer} answers {status}")
    return AssociationRejected(f"{peer} refuses with {status}")
