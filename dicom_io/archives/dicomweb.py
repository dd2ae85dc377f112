"""DICOMweb client: STOW-RS stores one instance, QIDO-RS finds it again (PS3.18 10.5, 10.6)."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread

from dicom_io.archives.http import TIMEOUT, ask, ask_again, displayable
from dicom_io.archives.inventory import ct_inventory
from dicom_io.archives.patient_identity import Found, InstanceReference, identities_of
from dicom_io.errors import AssociationRejected, PeerUnreachable

DICOM_JSON = {"Accept": "application/dicom+json"}
# PS3.18 I.2.2 uses the failure reasons of C-STORE: 0xA7xx is out of resources
OUT_OF_RESOURCES = range(0xA700, 0xA800)


def store(path: Path, url: str, *, credentials: tuple[str, str] | None = None) -> None:
    """Store one instance with STOW-RS (PS3.18 10.5).

    Parameters
    ----------
    path : Path
        A DICOM file.
    url : str
        Root of the DICOMweb service, such as `http://127.0.0.1:18042/dicom-web`.
    credentials : (str, str), optional
        User and password for HTTP Basic authentication.

    Raises
    ------
    PeerUnreachable
        No answer, or the service cannot store now.
    AssociationRejected
        The service refuses the request or the instance.
    """
    study = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
    boundary = uuid.uuid4().hex
    headers = {
        "Accept": "application/dicom+json",
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
    }
    body = b"".join(
        (
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode(),
            path.read_bytes(),
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    peer = displayable(url)
    with _client(url, credentials) as client:
        where = f"studies/{study.StudyInstanceUID}"
        answer = ask(lambda: client.post(where, content=body, headers=headers), peer)
    _check_stored(answer, peer)


def find_instance(
    reference: InstanceReference, url: str, *, credentials: tuple[str, str] | None = None
) -> Found:
    """Look for one instance with QIDO-RS (PS3.18 10.6), and for the patient of its study.

    Raises
    ------
    PeerUnreachable
        No answer after three attempts.
    AssociationRejected
        The service refuses the query, or answers with something else than DICOM JSON.
    """
    study, series = reference.study_instance_uid, reference.series_instance_uid
    with _client(url, credentials) as client:
        instances = _query(
            client,
            f"studies/{study}/series/{series}/instances",
            SOPInstanceUID=reference.sop_instance_uid,
        )
        studies = _query(
            client, "studies", StudyInstanceUID=study, includefield="PatientID,PatientName"
        )
    held = [one for one in instances if one.get("SOPInstanceUID") == reference.sop_instance_uid]
    return Found(len(held), identities_of(studies))


def count_instances(
    study_instance_uid: str, url: str, *, credentials: tuple[str, str] | None = None
) -> dict[str, int]:
    """Ask how many instances the service holds of each CT series of a study (PS3.18 10.6).

    Raises as `find_instance`.
    """
    with _client(url, credentials) as client:
        path = f"studies/{study_instance_uid}/series"
        return ct_inventory(_query(client, path, includefield="NumberOfSeriesRelatedInstances"))


def check(url: str, *, credentials: tuple[str, str] | None = None) -> None:
    """Verify that the service answers a query; errors as in `find_instance`."""
    with _client(url, credentials) as client:
        _query(client, "studies", limit="1")


def _client(url: str, credentials: tuple[str, str] | None) -> httpx.Client:
    return httpx.Client(base_url=url, auth=credentials, timeout=TIMEOUT, follow_redirects=False)


def _query(client: httpx.Client, path: str, **parameters: str) -> list[Dataset]:
    peer = displayable(str(client.base_url))
    answer = ask_again(lambda: client.get(path, params=parameters, headers=DICOM_JSON), peer)
    if answer.status_code == httpx.codes.NO_CONTENT:
        return []
    return [Dataset.from_json(one) for one in _json(answer, peer)]


def _json(answer: httpx.Response, peer: str) -> Any:
    try:
        return answer.json()
    except json.JSONDecodeError:
        raise AssociationRejected(f"{peer} does not answer with DICOM JSON") from None


def _check_stored(answer: httpx.Response, peer: str) -> None:
    """Read the store response: 202 says that some instance was not stored (PS3.18 10.5.3)."""
    if not answer.content:
        return
    failed = Dataset.from_json(_json(answer, peer)).get("FailedSOPSequence")
    for item in failed or ():
        reason = int(item.get("FailureReason") or 0)
        message = f"{peer} did not store the instance (0x{reason:04X})"
        raise (
            PeerUnreachable(message) if reason in OUT_OF_RESOURCES else AssociationRejected(message)
        )
