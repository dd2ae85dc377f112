"""A web server on loopback that answers as a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def answering(
    answer: Callable[[str], httpx.Response],
    *,
    tls: ssl.SSLContext | None = None,
    authorization: str | None = None,
) -> Iterator[str]:
    """Serve `answer("METHOD /path")` on a free port; yields the URL.

    Parameters
    ----------
    answer : callable
        Makes the response.
    tls : SSLContext, optional
        With it the server speaks HTTPS.
    authorization : str, optional
        Header without which the answer is 401.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if authorization in (None, self.headers.get("Authorization")):
                response = answer(f"{self.command} {self.path}")
            else:
                response = httpx.Response(401)
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.content)

        do_POST = do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing: clients that trust nobody end handshakes."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
