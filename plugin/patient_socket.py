"""A peer's socket, without the ways in which a silent or slow peer stops pynetdicom's.

Stock pynetdicom reads a PDU without any time limit, and waits with `select()`, which fails past
1024 descriptors.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

_CHUNK = 1 << 18


class PatientSocket(AssociationSocket):
    """Gives every PDU a bounded time, from its first byte to its last."""

    def __init__(self, assoc: Association, peer: socket.socket, pdu_timeout_s: float) -> None:
        super().__init__(assoc, client_socket=peer)
        self.pdu_timeout_s = pdu_timeout_s
        self._pdu_ends = 0.0
        self._poll = select.poll()
        self._poll.register(peer, select.POLLIN | select.POLLHUP | select.POLLERR)

    @property
    def ready(self) -> bool:
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait for the peer to say something; tell whether it did."""
        if self.socket is None or not self._is_connected:
            return False
        if self.socket.fileno() < 0:
            # PS3.8 9.2: Evt17, transport connection closed
            self.event_queue.put("Evt17")
            return False
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

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or fewer if the peer closes."""
        if nr_bytes == 6:  # PS3.8 9.3: type and length, the begin of every PDU
            self.begin_pdu()
        received = bytearray()
        # As it comes: the length is the peer's word, not worth the memory yet
        while len(received) < nr_bytes:
            part = self._in_time().recv(min(_CHUNK, nr_bytes - len(received)))
            if not part:
                break
            received += part
        return received

    def begin_pdu(self) -> None:
        """Give the peer time anew."""
        self._pdu_ends = time.monotonic() + self.pdu_timeout_s

    def read_into(self, buffer: memoryview) -> memoryview:
        """Fill a buffer and return it.

        Raises
        ------
        OSError
            The peer closed the connection, or did not send so much in time.
        """
        done = 0
        while done < len(buffer):
            count = self._in_time().recv_into(buffer[done:])
            if count == 0:
                raise ConnectionResetError("the peer closed the connection inside a PDU")
            done += count
        return buffer

    def _in_time(self) -> socket.socket:
        peer, remaining = self.socket, self._pdu_ends - time.monotonic()
        if peer is None:
            raise OSError("the connection is closed")
        if remaining <= 0:
            raise TimeoutError(f"no whole PDU within {self.pdu_timeout_s} s")
        peer.settimeout(remaining)
        return peer
