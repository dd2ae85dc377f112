"""A peer's socket, without the ways in which a silent or slow peer stops pynetdicom's.

Stock pynetdicom reads a PDU without any time limit, 4096 bytes a call, and waits with `select()`,
which fails past 1024 descriptors.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from dicom_io.errors import ProtocolViolation
from plugin.reception.association.pdata import PDU_HEADER

# Peers are told a smaller maximum for data (PS3.8 D.1); not all keep to it
LARGEST_PDU = 1 << 20
# Linux has it, and forgets it with the next acknowledgment
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class PatientSocket(AssociationSocket):
    """Gives every PDU a bounded time, from its first byte to its last, and a bounded size.

    Parameters
    ----------
    assoc : Association
        Whose it is.
    peer : socket.socket
        Connected.
    pdu_timeout_s : float
        Time for a PDU, received or sent.
    """

    def __init__(self, assoc: Association, peer: socket.socket, pdu_timeout_s: float) -> None:
        super().__init__(assoc, client_socket=peer)
        self._pdu_timeout_s = pdu_timeout_s
        self._pdu_ends = 0.0
        self._poll = select.poll()
        self._poll.register(peer, select.POLLIN)
        # What was received, and from where to where nobody has taken it yet
        self._buffer = memoryview(bytearray(PDU_HEADER.size + LARGEST_PDU))
        self._begin = self._end = 0

    @property
    def ready(self) -> bool:
        return self._begin < self._end or self._wait(0)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer if the peer closes, for pynetdicom."""
        if nr_bytes > LARGEST_PDU:
            raise OSError(f"a PDU of {nr_bytes} bytes")
        if nr_bytes == PDU_HEADER.size:
            self._pdu_ends = time.monotonic() + self._pdu_timeout_s
        with suppress(ConnectionError):
            while self._end - self._begin < nr_bytes:
                self._receive()
        return bytearray(self._take(min(nr_bytes, self._end - self._begin)))

    def next_pdu(self, pause_s: float) -> memoryview | None:
        """Return the next PDU, valid until the next call; None where none begins for a pause.

        Raises
        ------
        OSError
            The peer closed the connection, or did not send all of the PDU in time.
        ProtocolViolation
            The PDU is too long.
        """
        if self._begin == self._end and not self._wait(pause_s):
            return None
        self._pdu_ends = time.monotonic() + self._pdu_timeout_s
        while (missing := self._missing()) > 0:
            self._receive()
        return self._take(self._end - self._begin + missing)

    def _missing(self) -> int:
        """Return how many bytes of a PDU are still to come; negative for those of the next."""
        received = self._end - self._begin
        if received < PDU_HEADER.size:
            return PDU_HEADER.size - received
        _, length = PDU_HEADER.unpack_from(self._buffer, self._begin)
        if length > LARGEST_PDU:
            raise ProtocolViolation(f"a PDU of {length} bytes")
        return PDU_HEADER.size + int(length) - received

    def _take(self, count: int) -> memoryview:
        taken = self._buffer[self._begin : self._begin + count]
        self._begin += count
        return taken

    def _receive(self) -> None:
        """Add what has come to the buffer; wait for it as long as the PDU may take."""
        if self._begin > 0:
            waiting = self._end - self._begin
            self._buffer[:waiting] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, waiting
        count = self._receive_now()
        if count is None:
            if not self._wait(max(0.0, self._pdu_ends - time.monotonic())):
                raise TimeoutError(f"no whole PDU within {self._pdu_timeout_s} s")
            count = cast(socket.socket, self.socket).recv_into(self._buffer[self._end :])
        if count == 0:
            raise ConnectionResetError("the connection ended inside a PDU")
        self._end += count

    def _receive_now(self) -> int | None:
        """Receive what is there already; None where nothing is, or TLS must be asked."""
        if isinstance(self.socket, ssl.SSLSocket) or self.socket is None:
            return None
        with suppress(BlockingIOError):
            return self.socket.recv_into(self._buffer[self._end :], 0, socket.MSG_DONTWAIT)
        return None

    def _wait(self, seconds: float) -> bool:
        """Wait for the peer to say something, or to go; tell whether it did."""
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True  # decrypted already: there is nothing left to poll for
        if seconds and _QUICKACK is not None:
            # A sender that keeps small pieces back until the one before is acknowledged (Nagle's
            # algorithm) would wait 40 ms for that, twice with each slice: the kernel hopes to
            # acknowledge with an answer, which only comes after the last piece
            with suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return bool(self._poll.poll(1000 * seconds))

    def _shutdown_socket(self) -> None:
        """Close the socket, even where shutdown fails because the peer is gone already."""
        peer = self.socket
        if peer is None:
            return
        with suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)
        peer.close()
        # Wakes an association that still waits for its request: it would keep its place for all
        # of the ACSE timeout, and a load balancer that probes the port would use up every place
        self.assoc.dul.to_user_queue.put(cast(Any, None))
