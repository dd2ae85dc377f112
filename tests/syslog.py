"""An audit repository, or any other receiver of syslog messages, over UDP, TCP and TLS."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dicom_io.archives.tls import Tls


class Repository:
    """Keeps the messages that it has read, in their order."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        # Read so many, then end the line as a program does that is killed
        self.dies_after: int | None = None

    def take(self, message: bytes) -> bool:
        """Keep a message; False where the line is cut."""
        if self.dies_after is not None and len(self.messages) >= self.dies_after:
            return False
        self.messages.append(message)
        return True


def _framed(file: Any) -> Iterator[bytes]:
    """Yield the messages of a stream (RFC 5425 4.3)."""
    while length := b"".join(iter(lambda: file.read(1), b" ") if file.peek(1) else ()):
        yield file.read(int(length))


@contextmanager
def listening(repository: Repository, tls: Tls | None = None) -> Iterator[int]:
    """Listen over TCP, or TLS; yields the port."""

    class Handler(socketserver.StreamRequestHandler):
        def setup(self) -> None:
            if tls is not None:
                self.request = tls.server().wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def handle(self) -> None:
            for message in _framed(self.rfile):
                if not repository.take(message):
                    # What is not read makes the kernel reset the line
                    return
            if isinstance(self.request, ssl.SSLSocket):
                self.request.unwrap()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that we do not believe; the test sees it on the other side."""

    with Server(("127.0.0.1", 0), Handler) as server, _served(server):
        yield server.server_address[1]


@contextmanager
def listening_udp(repository: Repository) -> Iterator[int]:
    class Handler(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            repository.take(self.request[0])

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server, _served(server):
        yield server.server_address[1]


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
