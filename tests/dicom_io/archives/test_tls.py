"""DIMSE and HTTPS over TLS, with DCMTK, Orthanc and a web server as peers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_io.archives.association import Timeouts
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.http import Bearer, ClientCredentials
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.tls import Tls
from dicom_io.errors import AssociationRejected, ConfigurationError, PeerUnreachable
from tests.certificates import LONG_AGO, Authority
from tests.objects import write_report
from tests.ports import free_port
from tests.services import require
from tests.waiting import eventually
from tests.web import answering

STORESCP = Path("/usr/bin/storescp")
NONE = httpx.Response(200, json=[], headers={"Content-Type": "application/dicom+json"})
SECRET = "only-in-this-test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@contextmanager
def storescp(folder: Path, tls: Tls) -> Iterator[int]:
    """DCMTK as an archive that asks for client certificates."""
    require(STORESCP.exists(), "DCMTK's storescp")
    port = free_port()
    line = ["+tls", str(tls.key), str(tls.certificate), "+cf", str(tls.authorities)]
    process = subprocess.Popen([STORESCP, *line, "-od", str(folder), str(port)])
    try:
        eventually(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def archive(port: int, tls: Tls | None) -> Dimse:
    return Dimse("127.0.0.1", port, "ARCHIVE", timeouts=Timeouts(3, 3, 3), tls=tls)


def test_dcmtk_takes_a_draft_over_tls(authority: Authority, tmp_path: Path) -> None:
    report = write_report(tmp_path, generate_uid())
    received = tmp_path / "received"
    received.mkdir()
    with storescp(received, authority.issue()) as port:
        archive(port, authority.issue("ctscribe")).check()
        archive(port, authority.issue("ctscribe")).store(report)
    (kept,) = received.iterdir()
    assert dcmread(kept).SOPInstanceUID == dcmread(report).SOPInstanceUID


FAULTS = {
    "another authority": "of an authority that is not among ours",
    "expired": "its certificate has expired",
    "another name": "for another (host name|IP address)",
    "no client certificate": "client certificate|ended the connection",
    "our certificate is unknown": "authority of our certificate|ended the connection",
}


def sides(fault: str, authority: Authority, stranger: Authority) -> tuple[Tls, Tls]:
    """Certificates of an archive and of us."""
    theirs, ours = authority.issue(), authority.issue("ctscribe")
    if fault == "another authority":
        return theirs, stranger.client()
    if fault == "expired":
        return authority.issue(until=LONG_AGO), ours
    if fault == "another name":
        return authority.issue("pacs.example"), ours
    if fault == "no client certificate":
        return theirs, authority.client()
    return theirs, replace(stranger.issue("ctscribe"), authorities=authority.file)


@pytest.mark.parametrize("fault", FAULTS)
def test_dimse_says_what_is_wrong_with_the_certificates(
    fault: str, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    theirs, ours = sides(fault, authority, stranger)
    with (
        storescp(tmp_path, theirs) as port,
        pytest.raises(PeerUnreachable, match=FAULTS[fault]) as raised,
    ):
        archive(port, ours).check()
    assert str(raised.value).startswith("no TLS with ARCHIVE: ")


@pytest.mark.parametrize("fault", FAULTS)
def test_https_says_what_is_wrong_with_the_certificates(
    fault: str, authority: Authority, stranger: Authority
) -> None:
    theirs, ours = sides(fault, authority, stranger)
    with (
        answering(lambda _: NONE, tls=theirs.server()) as url,
        pytest.raises(PeerUnreachable, match=f"{FAULTS[fault]}|does not answer"),
    ):
        Dicomweb(url, tls=ours).check()


def test_the_name_in_a_certificate_can_be_told(authority: Authority, tmp_path: Path) -> None:
    with storescp(tmp_path, authority.issue("pacs.example")) as port:
        archive(port, replace(authority.issue("ctscribe"), name="pacs.example")).check()


def test_a_single_certificate_can_be_believed(authority: Authority, tmp_path: Path) -> None:
    theirs = authority.issue()
    with storescp(tmp_path, theirs) as port:
        archive(port, replace(authority.issue("us"), authorities=theirs.certificate)).check()


def test_a_peer_that_says_nothing_costs_the_connection_timeout(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(PeerUnreachable, match="does not answer the TLS handshake in time"):
            Dimse("127.0.0.1", port, "A", timeouts=Timeouts(0.5), tls=authority.client()).check()


def test_a_peer_without_tls_is_named(authority: Authority) -> None:
    with (
        answering(lambda _: NONE) as url,
        pytest.raises(PeerUnreachable, match="does not speak TLS"),
    ):
        Dicomweb(url.replace("http", "https"), tls=authority.client()).check()


def test_a_client_certificate_opens_archives_of_both_kinds(authority: Authority) -> None:
    system = httpx.Response(200, json={"Name": "orthanc"})
    with answering(lambda _: system, tls=authority.issue().server()) as url:
        Orthanc(url, tls=authority.issue("ctscribe")).check()
        with pytest.raises(PeerUnreachable):
            Orthanc(url, tls=authority.client()).check()
    with answering(lambda _: NONE, tls=authority.issue().server()) as url:
        Dicomweb(url, tls=authority.issue("ctscribe")).check()


def test_a_token_opens_an_archive(authority: Authority) -> None:
    guarded = {"tls": replace(authority.issue(), authorities=None).server()}
    with answering(lambda _: NONE, **guarded, authorization=f"Bearer {SECRET}") as url:
        Dicomweb(url, Bearer(SECRET), tls=authority.client()).check()
        with pytest.raises(AssociationRejected, match="401") as raised:
            Dicomweb(url, Bearer("another"), tls=authority.client()).check()
    assert "another" not in str(raised.value)


def test_a_client_asks_for_a_token_once_and_shows_it(authority: Authority) -> None:
    asked: list[str] = []
    # "ctscribe:only-in-this-test", as RFC 7617 encodes it
    basic = f"Basic {httpx.BasicAuth('ctscribe', SECRET)._auth_header[6:]}"

    def token(request: str) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"access_token": "made", "expires_in": 3600})

    line = replace(authority.issue(), authorities=None).server()
    with (
        answering(token, tls=line, authorization=basic) as tokens,
        answering(lambda _: NONE, tls=line, authorization="Bearer made") as url,
    ):
        login = ClientCredentials(f"{tokens}/token", "ctscribe", SECRET, "dicom")
        Dicomweb(url, login, tls=authority.client()).check()
        Dicomweb(url, login, tls=authority.client()).check()
    assert asked == ["POST /token"]
    assert SECRET not in repr(login)


def test_a_token_that_was_revoked_is_replaced_once() -> None:
    made = iter(["revoked", "valid", "too much"])

    def token(_: str) -> httpx.Response:
        return httpx.Response(200, json={"access_token": next(made), "expires_in": 3600})

    with (
        answering(token) as tokens,
        answering(lambda _: NONE, authorization="Bearer valid") as url,
    ):
        Dicomweb(url, ClientCredentials(f"{tokens}/token", "ctscribe", SECRET)).check()
    assert next(made) == "too much"


def test_a_client_that_gets_no_token_says_so_without_its_secret(authority: Authority) -> None:
    line = replace(authority.issue(), authorities=None).server()
    refusal = httpx.Response(400, json={"error": "invalid_client", "error_description": SECRET})
    with answering(lambda _: refusal, tls=line) as tokens:
        login = ClientCredentials(f"{tokens}/token", "ctscribe", SECRET)
        archive = Dicomweb("https://127.0.0.1:1", login, tls=authority.client())
        with pytest.raises(PeerUnreachable, match="no token for https") as raised:
            archive.check()
    assert SECRET not in str(raised.value)


def test_files_that_are_no_certificates_are_named(authority: Authority, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for tls, message in (
        (Tls(tmp_path / "absent.pem"), "absent.pem: No such file"),
        (Tls(wrong), "wrong.pem: no certificates in PEM"),
        (replace(authority.issue(), key=wrong), "wrong.pem is not its key"),
        (replace(authority.issue(), key=authority.issue().key), "is not its key"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            tls.client()
