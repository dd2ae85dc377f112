"""HL7 over MLLP, against the server of the library hl7."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import hl7
import pytest

from dicom_io.archives.proving.proof import InstanceReference
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.delivery.destinations import Destination, Proof
from plugin.delivery.mllp import Hl7Receiver
from plugin.delivery.proving import look
from reporting.forms.oru import oru_message
from reporting.objects.sr import build_sr
from tests.mllp import Ris, listening
from tests.ports import free_port
from tests.reporting.studies import ct_header, draft_of


@pytest.fixture
def report(tmp_path: Path) -> Path:
    header = ct_header(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jürgen=山田^太郎")
    path = tmp_path / "draft.dcm"
    build_sr(draft_of(), [header]).save_as(path, enforce_file_format=True)
    return path


def receiver(port: int, timeout_s: float = 5.0) -> Hl7Receiver:
    return Hl7Receiver("127.0.0.1", port, oru_message, timeout_s)


def test_a_message_arrives_whole_and_is_acknowledged(report: Path) -> None:
    ris = Ris()
    with listening(ris) as port:
        receiver(port).store(report)
    (message,) = ris.messages
    assert str(message.segment("PID")[5]) == "Müller^Jürgen~山田^太郎"
    assert str(message.segment("OBR")[25]) == "P"


def test_sent_again_it_is_the_same_message(report: Path) -> None:
    ris = Ris()
    with listening(ris) as port:
        for _ in range(2):
            receiver(port).store(report)
    one, other = ris.messages
    assert str(one) == str(other)


def test_an_application_error_may_pass_and_a_rejection_does_not(report: Path) -> None:
    for code, tries in (("AE", 5), ("AR", 1), ("CR", 1), ("??", 1)):
        with listening(Ris(code)) as port, pytest.raises(AssociationRejected) as raised:
            receiver(port).store(report)
        assert raised.value.tries == tries, code
        assert "Müller" not in str(raised.value)


def test_the_acknowledgment_of_another_message_is_none(report: Path) -> None:
    class Confused(Ris):
        def answer(self, message: hl7.Message) -> str:
            return super().answer(message).replace(str(message.segment("MSH")[10]), "OTHER")

    with listening(Confused()) as port, pytest.raises(PeerUnreachable, match="acknowledge"):
        receiver(port).store(report)


@pytest.mark.parametrize("answer", [b"", b"hello", b"\x0bMSH|^~\\&|\x1c\r", b"\x0b\x1c\r"])
def test_whatever_else_is_answered_the_message_is_sent_again(report: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 20)
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(PeerUnreachable):
            receiver(server.getsockname()[1]).store(report)
        thread.join()


def test_a_receiver_that_says_nothing_holds_nobody_up(report: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = receiver(server.getsockname()[1], timeout_s=0.1)
        with pytest.raises(PeerUnreachable, match="does not answer"):
            silent.store(report)


def test_a_receiver_that_is_away_is_unreachable(report: Path) -> None:
    with pytest.raises(PeerUnreachable):
        receiver(free_port()).check()


def test_its_acknowledgment_is_the_proof(report: Path) -> None:
    away = receiver(free_port())
    assert look(Destination("ris", away, Proof.NONE), report) is None
    with pytest.raises(AssociationRejected):
        away.find(InstanceReference("1", "2", "3"))
