"""Syslog messages (RFC 5424) over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425)."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Literal

from dicom_io.archives.tls import Tls, fault_of
from dicom_io.errors import PeerUnreachable

Transport = Literal["udp", "tcp", "tls"]
# RFC 5424 6.2.1: security messages, such as an audit trail's; and the service's other ones
AUDIT_FACILITY, DAEMON_FACILITY = 10, 3
# RFC 5426 3.2: what is longer is cut off by the network
_LONGEST_DATAGRAM = 65507
_PIECE = 1 << 12


class Severity(IntEnum):
    """RFC 5424 6.2.1."""

    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5


def syslog_message(
    text: str,
    *,
    time: datetime,
    severity: Severity,
    facility: int = DAEMON_FACILITY,
    message_id: str = "-",
) -> bytes:
    """Write a message of this process (RFC 5424 6).

    Parameters
    ----------
    text : str
        Free text; it is marked as UTF-8.
    time : datetime
        When it happened; aware.
    severity : Severity
        How bad it is.
    facility : int
        What kind of program says it.
    message_id : str
        What kind of message it is, in at most 32 printable characters.
    """
    priority = facility * 8 + severity
    host, moment = socket.gethostname() or "-", time.isoformat(timespec="milliseconds")
    head = f"<{priority}>1 {moment} {host} ctscribe {os.getpid()} {message_id} - "
    return head.encode("ascii", "replace") + b"\xef\xbb\xbf" + text.encode()


@dataclass(frozen=True)
class SyslogReceiver:
    """Whoever takes syslog messages.

    Parameters
    ----------
    host, port : str, int
        Where.
    transport : str
        udp, tcp or tls.
    tls : Tls, optional
        Certificates, where the system's authorities do not do.
    timeout_s : float
        How long it may take to read a batch.
    """

    host: str
    port: int
    transport: Transport = "udp"
    tls: Tls | None = None
    timeout_s: float = 30.0

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages in their order; over TCP and TLS, return once they were read.

        The line is ended after them, and the other side ends it when it has read so far. Syslog has
        no other acknowledgment. UDP has none at all.

        Raises
        ------
        PeerUnreachable
            It does not answer, or has not read all.
        """
        with self._mapped():
            if self.transport == "udp":
                self._send_datagrams(messages)
                return
            with socket.create_connection((self.host, self.port), self.timeout_s) as line:
                framed = b"".join(b"%d %b" % (len(one), one) for one in messages)
                if self.transport == "tls":
                    self._send_secured(line, framed)
                else:
                    line.sendall(framed)
                    line.shutdown(socket.SHUT_WR)
                    _read_to_the_end(line)

    def check(self) -> None:
        """Connect, and shake hands over TLS; UDP has no answer, only the name is looked up.

        Raises
        ------
        PeerUnreachable
            It does not answer.
        """
        if self.transport != "udp":
            self.send(())
            return
        with self._mapped():
            socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as line:
            for message in messages:
                line.sendto(message[:_LONGEST_DATAGRAM], address)

    def _send_secured(self, line: socket.socket, framed: bytes) -> None:
        tls = self.tls or Tls()
        with tls.client().wrap_socket(line, server_hostname=tls.name or self.host) as secured:
            secured.sendall(framed)
            # Our close_notify, and theirs (RFC 5425 4.4); some close the line without one
            with suppress(ssl.SSLEOFError):
                secured.unwrap()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        peer = f"{self.host}:{self.port}"
        try:
            yield
        except OSError as error:
            if fault := fault_of(error):
                raise PeerUnreachable(f"no TLS with {peer}: {fault}") from None
            raise PeerUnreachable(f"{peer} does not answer: {error.strerror or error}") from None


def _read_to_the_end(line: socket.socket) -> None:
    while line.recv(_PIECE):
        pass
