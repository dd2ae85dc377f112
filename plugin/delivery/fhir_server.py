"""A FHIR R4 server that keeps drafts as DiagnosticReports."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread

from dicom_io.archives.http import (
    TIMEOUT_S,
    Login,
    ask,
    ask_again,
    displayable,
    secured,
    within,
)
from dicom_io.archives.patients.identity import Identity
from dicom_io.archives.proving.proof import Found, InstanceReference
from dicom_io.archives.tls import Tls
from dicom_io.errors import AssociationRejected, PeerUnreachable

_JSON = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
_CHANGED_MEANWHILE = 412
# The system of the identifiers of drafts; those that were replaced stay, marked as old
_DRAFT = "urn:dicom:uid"
# What anything may take the place of: the rest was looked at by a person
_REPLACEABLE = ("registered", "partial", "preliminary")
# What a later report of ours may amend where it is our own
_FINAL, _AMENDED = "final", "amended"


@dataclass(frozen=True)
class FhirServer:
    """One DiagnosticReport for each study, updated by later drafts, and by what is accepted.

    Parameters
    ----------
    url : str
        Base of the server, such as `https://fhir.example.org/r4`.
    resource : callable
        Makes the DiagnosticReport of a report. Its first identifier is the study's, its second
        the draft's.
    login : (str, str), Bearer or ClientCredentials, optional
        User and password, a token, or where to ask for tokens.
    timeout_s : float
        How long an answer may take.
    tls : Tls, optional
        Certificates, where the system's authorities do not do.
    """

    url: str
    resource: Callable[[Dataset], dict[str, Any]]
    login: Login | None = field(default=None, repr=False)
    timeout_s: float = TIMEOUT_S
    tls: Tls | None = None

    def store(self, *paths: Path) -> None:
        """Create the report of the study, replace the draft there, or amend our final report.

        Raises
        ------
        AssociationRejected
            The report there is no draft, and not what this one amends; or there are several.
        """
        with self._client() as client:
            for path in paths:
                report = dcmread(path)
                self._store(client, self.resource(report), _amends(report))

    def find(self, reference: InstanceReference) -> Found:
        """Look for a draft by its own identifier, and for the patient that it names."""
        identifier = f"{_DRAFT}|urn:oid:{reference.sop_instance_uid}"
        with self._client() as client:
            held = self._search(client, identifier)
        return Found(len(held), frozenset(_identity(one) for one in held))

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        """It holds no images."""
        return {}

    def check(self) -> None:
        """Verify that the server says what it can do."""
        with self._client() as client:
            ask_again(partial(client.get, "metadata"), self._peer)

    @property
    def _peer(self) -> str:
        return displayable(self.url.rstrip("/"))

    def _client(self) -> httpx.Client:
        base = f"{self.url.rstrip('/')}/"
        line = secured(self.login, self.tls)
        return httpx.Client(base_url=base, headers=_JSON, timeout=within(self.timeout_s), **line)

    def _store(
        self, client: httpx.Client, resource: dict[str, Any], amends: Collection[str]
    ) -> None:
        identifier = "{system}|{value}".format(**resource["identifier"][0])
        held = self._search(client, identifier)
        if not held:
            unless = {"If-None-Exist": f"identifier={identifier}"}
            post = partial(client.post, "DiagnosticReport", json=resource, headers=unless)
            if ask(post, self._peer).status_code == httpx.codes.OK:
                raise PeerUnreachable(f"{self._peer} has had a report of the study meanwhile")
            return
        if len(held) > 1:
            raise AssociationRejected(f"{self._peer} holds {len(held)} reports of the study")
        self._replace(client, held[0], resource, amends)

    def _replace(
        self,
        client: httpx.Client,
        held: dict[str, Any],
        resource: dict[str, Any],
        amends: Collection[str],
    ) -> None:
        drafts = [one for one in held.get("identifier", []) if one.get("system") == _DRAFT]
        if resource["identifier"][1]["value"] in {one.get("value") for one in drafts}:
            return  # it stands there, or a later one that has replaced it
        status = resource["status"]
        if held.get("status") not in _REPLACEABLE:
            standing = {one.get("value") for one in drafts if one.get("use") != "old"}
            is_ours = held.get("status") in (_FINAL, _AMENDED) and standing & {*amends}
            if status != _FINAL or not is_ours:
                what = f"the study's report at {self._peer} is no draft any more"
                raise AssociationRejected(what)
            status = _AMENDED
        older = [{**one, "use": "old"} for one in drafts]
        version = held.get("meta", {}).get("versionId")
        only = {"If-Match": f'W/"{version}"'} if version else {}
        where = f"DiagnosticReport/{held['id']}"
        own = {"id": held["id"], "identifier": [*resource["identifier"], *older], "status": status}
        changed = {**resource, **own}
        put = partial(client.put, where, json=changed, headers=only)
        if ask(put, self._peer, _CHANGED_MEANWHILE).status_code == _CHANGED_MEANWHILE:
            raise PeerUnreachable(f"the report at {self._peer} was changed meanwhile")

    def _search(self, client: httpx.Client, identifier: str) -> list[dict[str, Any]]:
        get = partial(client.get, "DiagnosticReport", params={"identifier": identifier})
        answer = ask_again(get, self._peer)
        try:
            entries = answer.json().get("entry", [])
            return [e["resource"] for e in entries if e["resource"].get("id")]
        # what servers send instead of a Bundle fails in any of these ways
        except (ValueError, TypeError, KeyError, AttributeError):
            raise AssociationRejected(f"{self._peer} does not answer with a Bundle") from None


def _amends(report: Dataset) -> list[str]:
    """Identify the accepted reports that a report takes the place of; its draft is none."""
    predecessors = list(report.get("PredecessorDocumentsSequence") or [])[1:]
    found = (one.ReferencedSeriesSequence[0].ReferencedSOPSequence[0] for one in predecessors)
    return [f"urn:oid:{one.ReferencedSOPInstanceUID}" for one in found]


def _identity(report: dict[str, Any]) -> Identity:
    subject = report.get("subject", {})
    studies = report.get("imagingStudy") or [{}]
    uid = studies[0].get("identifier", {}).get("value", "").removeprefix("urn:oid:")
    patient_id = subject.get("identifier", {}).get("value", "")
    return Identity(uid, patient_id, subject.get("display", ""))
