"""The listener for HL7 v2 messages over MLLP (HL7 v2.5.1 appendix C), one thread a sender."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address
from socketserver import BaseRequestHandler, ThreadingTCPServer

from dicom_io.errors import PluginError

LOGGER = logging.getLogger(__name__)
_START, _END = b"\x0b", b"\x1c\r"
# A result with its text is a few kilobytes; whoever sends more sends something else
_LONGEST = 4 << 20
# Interface engines keep a line open for hours; one that is dead is noticed by its kernel
_SILENT_S = 3600.0
_MOST_SENDERS = 32


class Listener:
    """Hears messages in threads of its own, from `start` to `close`.

    Parameters
    ----------
    hear : callable
        Takes a message, and returns its acknowledgment.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    peers : sequence of IPv4Network or IPv6Network
        Who may connect from beyond loopback.
    tls : ssl.SSLContext, optional
        Of a server; without it the line is not encrypted.
    """

    def __init__(
        self,
        hear: Callable[[bytes], bytes],
        host: str,
        port: int,
        peers: Sequence[IPv4Network | IPv6Network] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hear = hear
        self._address = host, port
        self._peers = peers
        self._tls = tls
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen, unless it does already.

        Raises
        ------
        PluginError
            The port is taken, or the address is not this host's.
        """
        if self._server is not None:
            return
        try:
            server = _Server(self._address, _Sender)
        except OSError as error:
            where = "{}:{}".format(*self._address)
            raise PluginError(f"no HL7 at {where}: {error.strerror}") from error
        server.hear, server.peers, server.tls = self._hear, self._peers, self._tls
        self._server = server
        threading.Thread(target=server.serve_forever, name="hl7", daemon=True).start()
        LOGGER.info("HL7 is heard at %s:%d", *self._address)

    def close(self) -> None:
        """Stop listening; senders send again what was not acknowledged."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    hear: Callable[[bytes], bytes]
    peers: Sequence[IPv4Network | IPv6Network] = ()
    tls: ssl.SSLContext | None = None

    def __init__(self, address: tuple[str, int], handler: type[BaseRequestHandler]) -> None:
        self.free = threading.BoundedSemaphore(_MOST_SENDERS)
        super().__init__(address, handler)

    def verify_request(self, request: object, client_address: tuple[str, int]) -> bool:
        """Whether a sender is known."""
        address = ip_address(client_address[0])
        return address.is_loopback or any(address in one for one in self.peers)

    def handle_error(self, *_: object) -> None:
        """A sender that goes away in the middle sends again."""


class _Sender(BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        if not server.free.acquire(blocking=False):
            return
        try:
            with suppress(OSError):
                self._converse(server)
        finally:
            server.free.release()

    def _converse(self, server: _Server) -> None:
        line: socket.socket = self.request
        line.settimeout(_SILENT_S)
        if server.tls is not None:
            line = server.tls.wrap_socket(line, server_side=True)
        held = b""
        while piece := line.recv(1 << 16):
            held += piece
            while _END in held:
                message, _, held = held.partition(_END)
                answer = server.hear(message.partition(_START)[2] or message)
                line.sendall(_START + answer + _END)
            if len(held) > _LONGEST:
                return
