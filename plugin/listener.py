"""pynetdicom's association server, hardened against peers that are silent, slow or many.

Stock pynetdicom reads a PDU without any time limit, waits with `select()`, which fails past 1024
descriptors, and copies every presentation context for every association.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

LOGGER = logging.getLogger(__name__)
_CHUNK = 1 << 18


class PatientSocket(AssociationSocket):
    """A peer's socket that gives every PDU a bounded time, from its first byte to its last."""

    pdu_timeout_s = 30.0
    _pdu_ends: float | None = None

    @property
    def ready(self) -> bool:
        if self.socket is None or not self._is_connected:
            return False
        try:
            poll = select.poll()
            poll.register(self.socket, select.POLLIN | select.POLLHUP | select.POLLERR)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            # PS3.8 9.2: Evt17, transport connection closed
            self.event_queue.put("Evt17")
            return False

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
        """Read exactly so many bytes, or fewer if the peer closes or is too slow."""
        if nr_bytes == 6:  # PS3.8 9.3: type and length, the begin of every PDU
            self._pdu_ends = time.monotonic() + self.pdu_timeout_s
        received = bytearray(nr_bytes) if nr_bytes <= _CHUNK else bytearray()
        return self._fill(received) if received else self._gather(nr_bytes)

    def _fill(self, buffer: bytearray) -> bytearray:
        view, done = memoryview(buffer), 0
        while done < len(buffer):
            count = self._before_the_end().recv_into(view[done:])
            if count == 0:
                break
            done += count
        view.release()
        del buffer[done:]
        return buffer

    def _gather(self, nr_bytes: int) -> bytearray:
        """Read a long PDU as it comes: its length is the peer's word, not worth the memory yet."""
        received = bytearray()
        while len(received) < nr_bytes:
            part = self._before_the_end().recv(min(_CHUNK, nr_bytes - len(received)))
            if not part:
                break
            received += part
        return received

    def _before_the_end(self) -> socket.socket:
        peer = self.socket
        if peer is None or self._pdu_ends is None:
            raise OSError("the connection is closed")
        remaining = self._pdu_ends - time.monotonic()
        if remaining <= 0:
            raise TimeoutError(f"no whole PDU within {self.pdu_timeout_s} s")
        peer.settimeout(remaining)
        return peer


class _Handler(RequestHandler):
    """Begins an association on a `PatientSocket`."""

    server: Listener

    def _create_association(self) -> Association:
        association = super()._create_association()
        # pynetdicom finds its threads by the first part; the rest makes the name unique
        association.name = f"AcceptorThread-{uuid.uuid4().hex}"
        patient = PatientSocket(association, client_socket=self.request)
        patient.pdu_timeout_s = self.server.pdu_timeout_s
        # The socket it replaces has put Evt5 (PS3.8 9.2) already
        association.dul.event_queue.get_nowait()
        association.dul.socket = patient
        return association


class Listener(ThreadedAssociationServer):
    """The server: sockets with time limits, a limit on connections, a port that can be shared.

    Parameters
    ----------
    pdu_timeout_s : float
        Time for a peer to send a PDU it began, and for us to send ours.
    most_connections : int
        Beyond so many, even unassociated ones, new connections are closed unheard.
    share_port : bool
        Whether several processes listen on the port (SO_REUSEPORT).
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        *args: Any,
        pdu_timeout_s: float = 30.0,
        most_connections: int = 64,
        share_port: bool = False,
        **kwargs: Any,
    ) -> None:
        self.pdu_timeout_s = pdu_timeout_s
        self.most_connections = most_connections
        self.share_port = share_port
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        assert self.socket is not None
        if self.share_port:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        peer, address = super().get_request()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(self.pdu_timeout_s)
        return peer, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if len(self.active_associations) < self.most_connections:
            return True
        LOGGER.warning("connection from %s closed: too many", client_address[0])
        return False

    @property
    def names(self) -> list[str]:
        """Names of the associations that are open now."""
        return [association.name for association in self.active_associations]


def start_listener(
    ae: AE,
    host: str,
    port: int,
    handlers: list[Any],
    **limits: Any,
) -> Listener:
    """Begin to listen in a thread of its own."""
    server: Any = ae.make_server(
        (host, port),
        evt_handlers=handlers,
        server_class=Listener,
        request_handler=_Handler,
        **limits,
    )
    # What AE.start_server does for its own server class
    ae._servers.append(server)
    threading.Thread(target=server.serve_forever, name="listener", daemon=True).start()
    listener: Listener = server
    return listener


def reject(event: evt.Event, result: int, source: int, diagnostic: int) -> None:
    """Answer an association request with A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    event.assoc.acse.send_reject(result, source, diagnostic)
    event.assoc.kill()


def stop_listener(server: Listener, patience_s: float = 5.0) -> None:
    """Stop listening, abort what is open, and wait for the threads."""
    server.shutdown()
    deadline = time.monotonic() + patience_s
    for association in server.active_associations:
        with suppress(OSError, RuntimeError):
            association.abort()
    while server.active_associations and time.monotonic() < deadline:
        time.sleep(0.02)
