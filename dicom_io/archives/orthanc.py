"""Orthanc REST client: a thin layer over pyorthanc with timeouts and our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset
from pyorthanc import Orthanc

from dicom_io.archives.http import TIMEOUT, ask, ask_again, displayable
from dicom_io.archives.patient_identity import Found, InstanceReference, identities_of
from dicom_io.archives.retrieval import STUDY_KEYS, WANTED
from dicom_io.errors import AssociationRejected, NotRetrieved

LISTING = httpx.Timeout(600.0, connect=10.0)
"""A list of many studies takes its time."""


def store(path: Path, url: str, *, credentials: tuple[str, str] | None = None) -> None:
    """Upload one instance.

    Parameters
    ----------
    path : Path
        A DICOM file.
    url : str
        Root of the REST API, such as `http://127.0.0.1:18042`.
    credentials : (str, str), optional
        User and password.

    Raises
    ------
    PeerUnreachable
        No answer, or Orthanc cannot store now.
    AssociationRejected
        Orthanc refuses the request or the instance.
    """
    content = path.read_bytes()
    with _client(url, credentials) as client:
        answer = ask(lambda: client.post_instances(content), displayable(url)).json()
    if answer.get("Status") not in ("Success", "AlreadyStored"):
        raise AssociationRejected(f"{displayable(url)} did not store: {answer.get('Status')}")


def find_instance(
    reference: InstanceReference, url: str, *, credentials: tuple[str, str] | None = None
) -> Found:
    """Look an instance up by its UID and read its tags back, and those of its study.

    Orthanc keeps a study once for every PatientID it came with, so that one
    StudyInstanceUID may belong to several patients: all of them are returned.

    Raises
    ------
    PeerUnreachable
        No answer.
    AssociationRejected
        Orthanc refuses the request.
    """
    series = reference.series_instance_uid
    with _client(url, credentials) as client:
        instances = [
            _read(client.get_instances_id_simplified_tags, one, client)
            for one in _look_up(client, "Instance", reference.sop_instance_uid)
        ]
        studies = [
            _read(client.get_studies_id, one, client)
            for one in _look_up(client, "Study", reference.study_instance_uid)
        ]
    held = [tags for tags in instances if tags["SeriesInstanceUID"] == series]
    named = [study["MainDicomTags"] | study["PatientMainDicomTags"] for study in studies]
    return Found(len(held), identities_of(map(_header, [*held, *named])))


def count_instances(
    study_instance_uid: str, url: str, *, credentials: tuple[str, str] | None = None
) -> dict[str, int]:
    """Ask how many instances Orthanc holds of each CT series of a study.

    Raises as `find_instance`.
    """
    with _client(url, credentials) as client:
        series = [
            one
            for study in _look_up(client, "Study", study_instance_uid)
            for one in _read(client.get_studies_id_series, study, client)
        ]
    return {
        one["MainDicomTags"]["SeriesInstanceUID"]: len(one["Instances"])
        for one in series
        if one["MainDicomTags"].get("Modality") == "CT"
    }


def find_studies(
    date_range: str, modality: str, url: str, *, credentials: tuple[str, str] | None = None
) -> list[Dataset]:
    """List studies with a series of a modality; `date_range` as in a DICOM query, or nothing.

    Raises as `find_instance`.
    """
    wanted = {"ModalitiesInStudy": modality} | ({"StudyDate": date_range} if date_range else {})
    asked = {"Level": "Study", "Expand": True, "Query": wanted}
    with _client(url, credentials) as client:
        client.timeout = LISTING
        route = f"{client.url}/tools/find"
        found = ask(lambda: client.post(route, json=asked), displayable(url)).json()
    tags = (one["MainDicomTags"] | one["PatientMainDicomTags"] for one in found)
    return [_header(study, STUDY_KEYS) for study in tags]


def fetch_study(
    study_instance_uid: str,
    folder: Path,
    url: str,
    *,
    credentials: tuple[str, str] | None = None,
) -> None:
    """Download the CT images and reports of a study into a folder, under numbers.

    Where Orthanc keeps the study for several patients, those of all come.

    Raises
    ------
    PeerUnreachable
        No answer.
    AssociationRejected
        Orthanc refuses the request.
    NotRetrieved
        It does not hold the study any more.
    """
    number = 0
    with _client(url, credentials) as client:
        for study in _look_up(client, "Study", study_instance_uid):
            for series in _read(client.get_studies_id_series, study, client):
                if series["MainDicomTags"].get("Modality") not in WANTED:
                    continue
                for instance in series["Instances"]:
                    content = _answer(client.get_instances_id_file, instance, client).content
                    (folder / f"{number:06d}.dcm").write_bytes(content)
                    number += 1
    if not number:
        raise NotRetrieved(f"{displayable(url)} holds no image of the study")


def check(url: str, *, credentials: tuple[str, str] | None = None) -> None:
    """Verify that Orthanc answers; errors as in `find_instance`."""
    with _client(url, credentials) as client:
        ask_again(client.get_system, displayable(url))


def _client(url: str, credentials: tuple[str, str] | None) -> Orthanc:
    user, password = credentials or (None, None)
    return Orthanc(url.rstrip("/"), user, password, return_raw_response=True, timeout=TIMEOUT)


def _look_up(client: Orthanc, level: str, uid: str) -> list[str]:
    """Return Orthanc's identifiers of what has a UID at a level ("Study", "Instance")."""
    # pyorthanc's own method passes the text as a form, which httpx deprecates
    route = f"{client.url}/tools/lookup"
    found = ask(lambda: client.post(route, content=uid), displayable(client.url)).json()
    return [one["ID"] for one in found if one["Type"] == level]


def _read(get: Callable[[str], httpx.Response], identifier: str, client: Orthanc) -> Any:
    return _answer(get, identifier, client).json()


def _answer(
    get: Callable[[str], httpx.Response], identifier: str, client: Orthanc
) -> httpx.Response:
    return ask_again(lambda: get(identifier), displayable(client.url))


def _header(
    tags: dict[str, str],
    keywords: Iterable[str] = ("StudyInstanceUID", "PatientID", "PatientName"),
) -> Dataset:
    header = Dataset()
    for keyword in keywords:
        setattr(header, keyword, tags.get(keyword, ""))
    return header
