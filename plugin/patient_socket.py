"""A peer's socket, without the ways in which a silent or slow peer stops pynetdicom's.

Stock pynetdicom reads a PDU without any time limit, and waits with `select()`, which fails past
1024 descriptors.
"""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

# Peers are told a smaller maximum for data (PS3.8 D.1); not all keep to it
LARGEST_PDU = 1 << 20


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
        # The kernel keeps the time, for all of one call: Python's own timeout begins anew with
        # every byte that drips in. One call reads a PDU's first six bytes, one the rest.
        peer.settimeout(None)
        _set_timeout(peer, socket.SO_RCVTIMEO, pdu_timeout_s / 2)
        _set_timeout(peer, socket.SO_SNDTIMEO, pdu_timeout_s)
        self._poll = select.poll()
        self._poll.register(peer, select.POLLIN)

    @property
    def ready(self) -> bool:
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait for the peer to say something, or to go; tell whether it did."""
        if self.socket is None or not self._is_connected:
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
        """Read so many bytes, or fewer if the peer closes or is too slow."""
        if nr_bytes > LARGEST_PDU:
            raise OSError(f"a PDU of {nr_bytes} bytes")
        received = bytearray(nr_bytes)
        del received[self._receive(memoryview(received)) :]
        return received

    def read_into(self, buffer: memoryview) -> memoryview:
        """Fill a buffer and return it.

        Raises
        ------
        OSError
            The peer closed the connection, or did not send so much in time.
        """
        if self._receive(buffer) < len(buffer):
            raise ConnectionResetError("the connection ended inside a PDU")
        return buffer

    def _receive(self, buffer: memoryview) -> int:
        if self.socket is None:
            raise OSError("the connection is closed")
        return self.socket.recv_into(buffer, len(buffer), socket.MSG_WAITALL)


def _set_timeout(peer: socket.socket, option: int, seconds: float) -> None:
    whole = int(seconds)
    timeval = struct.pack("@ll", whole, int(1e6 * (seconds - whole)))
    peer.setsockopt(socket.SOL_SOCKET, option, timeval)
