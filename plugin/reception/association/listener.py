"""pynetdicom's association server, hardened against peers that are silent, slow or many.

Stock pynetdicom keeps any number of unassociated connections, and waits for the threads of all.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from plugin.reception.association.handshakes import Handshakes
from plugin.reception.association.lobby import Lobby, Strangers, close
from plugin.reception.association.patient_socket import PatientSocket
from plugin.reception.association.upper_layer import BeginStore, StoreProvider
from plugin.state.kept.refusals import TURNED_AWAY


class _Handler(RequestHandler):
    """Begins an association on a `PatientSocket` and a `StoreProvider`."""

    server: Listener

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul = StoreProvider(association, self.server.begin_store)
        # The timers are those of the upper layer that this one takes the place of
        association.acse_timeout = self.ae.acse_timeout
        association.network_timeout = self.ae.network_timeout
        # pynetdicom finds its threads by the first part; the rest makes the name unique
        association.name = f"AcceptorThread-{uuid.uuid4().hex}"
        association.set_socket(PatientSocket(association, self.request, self.server.pdu_timeout_s))
        return association


class Listener(ThreadedAssociationServer):
    """The server: sockets with time limits, a limit on connections, a port that can be shared.

    Parameters
    ----------
    begin_store : callable
        Called with every C-STORE request.
    pdu_timeout_s : float
        Time for a peer to send a PDU it began, and for us to send ours.
    may_connect : callable
        Whether an address may open a connection at all; asked before anything is read.
    most_unassociated : int
        How many connections may wait that have not asked for an association yet.
    share_port : bool
        Whether several processes listen on the port (SO_REUSEPORT).
    handshakes : Handshakes, optional
        With them, peers speak TLS.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        *args: Any,
        begin_store: BeginStore,
        may_connect: Callable[[str], bool],
        pdu_timeout_s: float = 30.0,
        most_unassociated: int = 64,
        share_port: bool = False,
        handshakes: Handshakes | None = None,
        **kwargs: Any,
    ) -> None:
        self.begin_store = begin_store
        self.pdu_timeout_s = pdu_timeout_s
        self.may_connect = may_connect
        self.share_port = share_port
        self.strangers = Strangers()
        self.handshakes = handshakes
        self.most_unassociated = most_unassociated
        super().__init__(*args, **kwargs)
        patience_s = self.ae.acse_timeout or 30
        tls = handshakes is not None
        self._lobby = Lobby(self._admit, most_unassociated, patience_s, tls=tls)

    def server_bind(self) -> None:
        assert self.socket is not None
        if self.share_port:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        peer, address = super().get_request()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        allowed = self.may_connect(client_address[0])
        if not allowed:
            self.strangers.tell(client_address[0], "its address is not in the allow-list")
            TURNED_AWAY.note("", client_address[0], "UnknownAddress")
        return allowed

    def process_request(self, request: Any, client_address: Any) -> None:
        self._lobby.enter(request, client_address)

    def _admit(self, peer: socket.socket, address: Any) -> None:
        peer.settimeout(self.pdu_timeout_s)
        super().process_request(peer, address)

    def server_close(self) -> None:
        self._lobby.stop()
        super().server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Begin an association; this runs in a thread of the connection's own."""
        if self.handshakes is not None:
            request = self.handshakes.secure(request, client_address[0])
        if request is None:
            return
        # Behind a handshake an association is asked for in a thread of its own
        if len(self.active_associations) < self.ae.maximum_associations + self.most_unassociated:
            super().finish_request(request, client_address)
        else:
            close(request)

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
    """Begin to listen in a thread of its own.

    Parameters
    ----------
    ae : AE
        Title, limits and supported contexts.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    handlers : list
        As pynetdicom takes them.
    **limits
        As `Listener` takes them.
    """
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
    """Answer an association request with A-ASSOCIATE-RJ (PS3.8 9.3.4).

    Parameters
    ----------
    event : Event
        The request.
    result, source, diagnostic : int
        Table 9-21 of the standard.
    """
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
