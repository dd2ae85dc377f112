"""The receiver over TLS, with DCMTK as the sender, and with clients that say nothing."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_io.archives.dimse import Dimse
from dicom_io.archives.tls import Tls
from plugin.reception.association.handshakes import Handshakes
from plugin.reception.receiver import running_receiver
from plugin.state.completeness import Patience
from plugin.state.tables import Instance
from tests.certificates import LONG_AGO, Authority
from tests.objects import write_slice
from tests.orthanc import running_orthanc
from tests.services import require
from tests.waiting import eventually

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def port(sessions, spool, authority: Authority) -> Iterator[int]:
    with running_receiver(sessions, spool, patience=PATIENCE, tls=authority.issue()) as port:
        yield port


def dcmtk(program: str, port: int, line: list[str], *files: Path) -> int:
    path = Path("/usr/bin") / program
    require(path.exists(), f"DCMTK's {program}")
    asked = [path, *line, "-to", "10", "127.0.0.1", str(port), *files]
    return subprocess.run(asked, capture_output=True, timeout=60).returncode


def shown(tls: Tls) -> list[str]:
    return ["+tls", str(tls.key), str(tls.certificate), "+cf", str(tls.authorities)]


def test_dcmtk_sends_over_tls(port, sessions, authority: Authority, tmp_path: Path) -> None:
    line = shown(authority.issue("ct1"))
    path = write_slice(tmp_path, generate_uid())
    assert dcmtk("echoscu", port, line) == 0
    assert dcmtk("storescu", port, line, path) == 0
    with sessions() as session:
        assert [one.sop_instance_uid for one in session.scalars(select(Instance))] == [path.stem]


def test_who_shows_no_valid_certificate_is_refused_and_the_log_says_why(
    port,
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plugin.reception.association.lobby._LOG_PAUSE_S", 0.0)
    expired = shown(authority.issue("ct1", until=LONG_AGO))
    stranger = Authority(tmp_path / "stranger").issue("ct1")
    unknown = [*shown(stranger), "+cf", str(authority.file)]
    with caplog.at_level(logging.WARNING):
        for line in ([], ["+tla", "+cf", str(authority.file)], expired, unknown):
            assert dcmtk("echoscu", port, line) != 0
        # The client may be gone before the receiver has read why
        eventually(lambda: caplog.text.count("127.0.0.1 refused: no TLS") == 4)
    for cause in (
        "it does not speak TLS",
        "it shows no client certificate",
        "its certificate has expired",
        "its certificate is of an authority that is not among ours",
    ):
        assert f"127.0.0.1 refused: no TLS: {cause}" in caplog.text


# The first record of a handshake, which promises more than comes
HALF = bytes.fromhex("1603010200010001fc0303")


@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a greeting"])
def test_silent_clients_keep_nobody_out(port, authority: Authority, said: bytes) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(150)]
    try:
        for one in silent:
            with suppress(OSError):  # the first of them have lost their places
                one.sendall(said)
        Dimse("127.0.0.1", port, "CTSCRIBE", tls=authority.issue("ct1")).check()
    finally:
        for one in silent:
            one.close()


@pytest.fixture
def connect() -> Iterator[Any]:
    """Connects a client; yields both ends of the line."""
    opened: list[socket.socket] = []

    def connected() -> tuple[socket.socket, socket.socket]:
        opened.extend(ends := socket.socketpair())
        return ends

    yield connected
    for end in opened:
        end.close()


def test_a_handshake_has_a_time_limit(connect, authority: Authority) -> None:
    ours, _theirs = connect()
    assert Handshakes(authority.issue(), timeout_s=0.2).secure(ours, "10.1.2.3") is None


def test_where_there_is_no_place_the_oldest_handshake_ends(connect, authority: Authority) -> None:
    handshakes = Handshakes(authority.issue(), timeout_s=60, most=2)
    lines = [connect() for _ in range(3)]
    ended: list[int] = []

    def shake(number: int) -> None:
        handshakes.secure(lines[number][0], "10.1.2.3")
        ended.append(number)

    threads = [threading.Thread(target=shake, args=[number]) for number in range(3)]
    for count, thread in enumerate(threads, start=1):
        thread.start()
        eventually(lambda count=count: len(handshakes._under_way) == min(count, 2))
    eventually(lambda: ended == [0])
    for _, theirs in lines:
        theirs.close()
    for thread in threads:
        thread.join()


def test_a_renewed_certificate_counts_from_the_next_connection(
    sessions, spool, authority: Authority, tmp_path: Path
) -> None:
    old, new = authority.issue(until=LONG_AGO), authority.issue()
    files = Tls(authority.file, tmp_path / "own.pem", tmp_path / "own.key")

    def install(tls: Tls) -> None:
        assert tls.certificate
        assert tls.key
        (tmp_path / "own.pem").write_bytes(tls.certificate.read_bytes())
        (tmp_path / "own.key").write_bytes(tls.key.read_bytes())

    install(old)
    with running_receiver(sessions, spool, patience=PATIENCE, tls=files) as port:
        line = shown(authority.issue("ct1"))
        assert dcmtk("echoscu", port, line) != 0
        install(new)
        assert dcmtk("echoscu", port, line) == 0


def test_orthanc_sends_and_receives_over_tls(
    port, sessions, authority: Authority, tmp_path: Path
) -> None:
    theirs = authority.issue()
    line = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(authority.file),
        "DicomModalities": {
            "ctscribe": {
                "AET": "CTSCRIBE",
                "Host": "127.0.0.1",
                "Port": port,
                "UseDicomTls": True,
            }
        },
    }
    path = write_slice(tmp_path, generate_uid())
    with running_orthanc(tmp_path / "orthanc", **line) as orthanc:
        peer = Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC", tls=authority.issue("ctscribe"))
        peer.store(path)
        (instance,) = orthanc.get("/instances")
        orthanc.post("/modalities/ctscribe/store", json={"Resources": [instance]})
    with sessions() as session:
        assert [one.sop_instance_uid for one in session.scalars(select(Instance))] == [path.stem]
