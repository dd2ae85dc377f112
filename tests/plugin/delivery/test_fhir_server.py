"""A FHIR server that does what R4 asks of conditional creates, searches and versions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from pydicom import dcmread

from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.delivery.fhir_server import FhirServer
from reporting.edition import Edition, Predecessor
from reporting.forms.diagnostic_report import diagnostic_report
from reporting.objects.accepted import Acceptance, accepted_report
from reporting.objects.sr import build_sr
from reporting.text.headings import Heading
from tests.ports import free_port
from tests.reporting.studies import ct_header, draft_of


class Server:
    """The reports by their numbers."""

    def __init__(self) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        self.writes = 0

    def search(self, token: str) -> list[dict[str, Any]]:
        system, _, value = token.partition("|")
        return [
            one
            for one in self.reports.values()
            if any((i["system"], i["value"]) == (system, value) for i in one["identifier"])
        ]

    def keep(self, number: str, resource: dict[str, Any]) -> dict[str, Any]:
        DiagnosticReport.model_validate(resource)
        before = self.reports.get(number, {}).get("meta", {}).get("versionId", "0")
        kept = {**resource, "id": number, "meta": {"versionId": str(int(before) + 1)}}
        self.reports[number] = kept
        self.writes += 1
        return kept


@contextmanager
def serving(server: Server) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            if self.path.endswith("/metadata"):
                self._answer(200, {"resourceType": "CapabilityStatement"})
                return
            found = server.search(asked["identifier"][0])
            entries = [{"resource": one} for one in found]
            self._answer(200, {"resourceType": "Bundle", "type": "searchset", "entry": entries})

        def do_POST(self) -> None:
            resource = self._body()
            held = server.search(self.headers["If-None-Exist"].partition("=")[2])
            if held:
                self._answer(200, held[0])
            else:
                self._answer(201, server.keep(str(len(server.reports) + 1), resource))

        def do_PUT(self) -> None:
            resource, number = self._body(), self.path.rpartition("/")[2]
            version = server.reports[number]["meta"]["versionId"]
            if self.headers["If-Match"] != f'W/"{version}"':
                self._answer(412, {"resourceType": "OperationOutcome"})
            else:
                self._answer(200, server.keep(number, resource))

        def _body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, status: int, resource: dict[str, Any]) -> None:
            content = json.dumps(resource).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/r4"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def draft(folder: Path, revision: int = 1) -> Path:
    before = Predecessor("1.2.3", "1.2.9", "1.2.9.1", 1) if revision > 1 else None
    sr = build_sr(draft_of(edition=Edition(revision, predecessor=before)), [ct_header()])
    path = folder / f"{revision}-{sr.SOPInstanceUID}.dcm"
    sr.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Iterator[FhirServer]:
    with serving(server) as url:
        yield FhirServer(url, diagnostic_report)


def verdict(client: FhirServer, path: Path) -> Verdict:
    header = dcmread(path)
    return judge(client.find(InstanceReference.of(header)), identity_of(header))


def test_a_draft_is_created_once_and_proved(
    client: FhirServer, server: Server, tmp_path: Path
) -> None:
    path = draft(tmp_path)
    client.check()
    assert verdict(client, path) is Verdict.MISSING
    for _ in range(2):
        client.store(path)
    assert server.writes == 1
    assert verdict(client, path) is Verdict.PROVED


def test_a_later_draft_takes_its_place_and_no_earlier_one_comes_back(
    client: FhirServer, server: Server, tmp_path: Path
) -> None:
    first, second = draft(tmp_path), draft(tmp_path, 2)
    client.store(first, second, first)
    (report,) = server.reports.values()
    assert report["identifier"][1]["value"].endswith(str(dcmread(second).SOPInstanceUID))
    assert report["identifier"][2]["use"] == "old"
    assert report["status"] == "preliminary"
    assert server.writes == 2
    assert verdict(client, first) is verdict(client, second) is Verdict.PROVED


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "cancelled"])
def test_a_report_that_a_person_has_signed_is_never_replaced(
    client: FhirServer, server: Server, tmp_path: Path, status: str
) -> None:
    client.store(draft(tmp_path))
    server.reports["1"]["status"] = status
    with pytest.raises(AssociationRejected, match="no draft any more"):
        client.store(draft(tmp_path, 2))
    assert server.reports["1"]["status"] == status


def accepted(draft: Path, *before: Path, final: bool = True) -> Path:
    moment = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    given = Acceptance("Dr. Rey", moment, len(before) + 1, final=final)
    texts = [(Heading.FINDINGS, f"Look {len(before) + 1}: no effusion.")]
    made = accepted_report(dcmread(draft), texts, given, [dcmread(one) for one in before])
    path = draft.with_name(f"accepted-{made.SOPInstanceUID}.dcm")
    made.save_as(path, enforce_file_format=True)
    return path


def test_a_final_report_of_ours_is_amended_and_no_earlier_one_comes_back(
    client: FhirServer, server: Server, tmp_path: Path
) -> None:
    first_draft = draft(tmp_path)
    first = accepted(first_draft)
    second = accepted(first_draft, first)
    third = accepted(first_draft, second)
    client.store(first_draft, first)
    assert server.reports["1"]["status"] == "final"
    for newer in (second, third):
        client.store(newer)
        client.store(newer, first, first_draft)
        (report,) = server.reports.values()
        assert report["status"] == "amended"
        assert report["identifier"][1]["value"].endswith(str(dcmread(newer).SOPInstanceUID))
    assert report["meta"]["versionId"] == "4"
    assert "Look 2" in report["text"]["div"]
    assert [one.get("use") for one in report["identifier"]] == [None, None, "old", "old", "old"]
    assert verdict(client, third) is Verdict.PROVED


def test_only_a_final_report_amends_one_and_only_what_it_names(
    client: FhirServer, server: Server, tmp_path: Path
) -> None:
    first_draft = draft(tmp_path)
    first = accepted(first_draft)
    client.store(first_draft)
    server.reports["1"]["status"] = "final"  # somebody has signed the draft there
    with pytest.raises(AssociationRejected, match="no draft any more"):
        client.store(first)
    server.reports["1"]["status"] = "preliminary"
    client.store(first)
    for other in (
        draft(tmp_path, 2),
        accepted(first_draft),
        accepted(first_draft, first, final=False),
    ):
        with pytest.raises(AssociationRejected, match="no draft any more"):
            client.store(other)
    server.reports["1"]["status"] = "entered-in-error"
    with pytest.raises(AssociationRejected, match="no draft any more"):
        client.store(accepted(first_draft, first))


def test_a_report_that_changes_between_looking_and_writing_is_looked_at_again(
    client: FhirServer, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.store(draft(tmp_path))
    search = server.search

    def changed_after(token: str) -> list[dict[str, Any]]:
        held = [dict(one) for one in search(token)]
        server.reports["1"]["meta"] = {"versionId": "9"}
        return held

    monkeypatch.setattr(server, "search", changed_after)
    with pytest.raises(PeerUnreachable, match="changed meanwhile"):
        client.store(draft(tmp_path, 2))


def test_another_patient_is_seen(client: FhirServer, server: Server, tmp_path: Path) -> None:
    path = draft(tmp_path)
    client.store(path)
    server.reports["1"]["subject"] = {"identifier": {"value": "9"}, "display": "Roe, Jim"}
    assert verdict(client, path) is Verdict.OTHER_PATIENT


def test_a_server_that_is_away_is_unreachable() -> None:
    with pytest.raises(PeerUnreachable):
        FhirServer(f"http://127.0.0.1:{free_port()}", diagnostic_report).check()
