"""A system that takes drafts as HL7 v2 messages over MLLP (HL7 v2.5.1 appendix C)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hl7
from pydicom import Dataset, dcmread

from dicom_io.archives.answers import hl7_error
from dicom_io.archives.proving.proof import Found, InstanceReference
from dicom_io.errors import AssociationRejected, PeerUnreachable

_START, _END = b"\x0b", b"\x1c\r"
# Tables 0008: the application, or in enhanced mode the system, has accepted the message
_ACCEPTED = ("AA", "CA")
# An acknowledgment is a few lines; whoever sends more sends something else
_LONGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class Hl7Receiver:
    """A RIS, an integration engine: what it acknowledges counts as delivered.

    Parameters
    ----------
    host, port : str, int
        Where it listens.
    message : callable
        Makes the message of a report; made twice it is the same one.
    timeout_s : float
        How long its answer may take.
    """

    host: str
    port: int
    message: Callable[[Dataset], str]
    timeout_s: float = 30.0

    def store(self, *paths: Path) -> None:
        """Send a message for each report, and wait for its acknowledgment."""
        for path in paths:
            self._send(self.message(dcmread(path)))

    def find(self, reference: InstanceReference) -> Found:
        """HL7 v2 has no question for it."""
        raise AssociationRejected(f"{self._peer} cannot be asked what it holds")

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        """It holds no images."""
        return {}

    def check(self) -> None:
        """Verify that it accepts a connection."""
        with self._connected():
            pass

    @property
    def _peer(self) -> str:
        return f"{self.host}:{self.port}"

    def _send(self, message: str) -> None:
        with self._connected() as connection:
            connection.sendall(_START + message.encode() + _END)
            answer = self._answer(connection)
        code, acknowledged = _acknowledgment(answer)
        if acknowledged != str(hl7.parse(message).segment("MSH")[10]):
            raise PeerUnreachable(f"{self._peer} does not acknowledge the message")
        if code not in _ACCEPTED:
            raise hl7_error(self._peer, code)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        try:
            with socket.create_connection((self.host, self.port), self.timeout_s) as connection:
                yield connection
        except OSError as error:
            raise PeerUnreachable(f"{self._peer} does not answer: {error.strerror}") from None

    def _answer(self, connection: socket.socket) -> bytes:
        answer = b""
        while not answer.endswith(_END):
            piece = connection.recv(1 << 16)
            if not piece or len(answer) > _LONGEST_ANSWER:
                raise PeerUnreachable(f"{self._peer} ended without an acknowledgment")
            answer += piece
        return answer.removesuffix(_END).lstrip(_START)


def _acknowledgment(answer: bytes) -> tuple[str, str]:
    """Return MSA-1 and MSA-2; empty where the answer is none. The rest may name the patient."""
    try:
        segment = hl7.parse(answer.decode("utf-8", "replace").replace("\n", "\r")).segment("MSA")
        return str(segment[1]), str(segment[2])
    except (hl7.HL7Exception, KeyError, IndexError, AssertionError, ValueError):
        return "", ""
