"""`/metrics` over HTTP or HTTPS, for whoever knows the token."""

from __future__ import annotations

import hmac
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from dicom_io.errors import PluginError

# Whoever connects and says nothing for so long is left
_TIMEOUT_S = 10.0


class MetricsServer:
    """Answers in threads of its own, from `start` to `close`.

    Parameters
    ----------
    collector : Collector
        What is told.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    token : str, optional
        Bearer token that is asked for.
    tls : ssl.SSLContext, optional
        Of a server; without it the line is not encrypted.
    """

    def __init__(
        self,
        collector: Collector,
        host: str,
        port: int,
        token: str | None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        self._app = _guarded(make_wsgi_app(registry), token)
        self._address = host, port
        self._tls = tls
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_port)

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
            self._server = _Server(self._address, _Quiet)
        except OSError as error:
            where = "{}:{}".format(*self._address)
            raise PluginError(f"no metrics at {where}: {error.strerror}") from error
        self._server.tls = self._tls
        self._server.set_app(self._app)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take the next connection; its own thread shakes hands, so that nobody keeps others."""
        line, address = super().get_request()
        if self.tls is not None:
            line = self.tls.wrap_socket(line, server_side=True, do_handshake_on_connect=False)
        return line, address

    def server_bind(self) -> None:
        # http.server's own asks DNS for the host's name, which may take long
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = (
            str(self.server_address[0]),
            self.socket.getsockname()[1],
        )
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """A peer that goes away in the middle is nobody's concern."""


class _Quiet(WSGIRequestHandler):
    timeout = _TIMEOUT_S

    def log_message(self, *_: Any) -> None:
        """Somebody asks every few seconds."""


_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def _guarded(metrics: _App, token: str | None) -> _App:
    wanted = f"Bearer {token}".encode()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = str(environ.get("HTTP_AUTHORIZATION", "")).encode()
        if token is not None and not hmac.compare_digest(given, wanted):
            return _refused(start_response, HTTPStatus.UNAUTHORIZED)
        if environ.get("PATH_INFO") != "/metrics":
            return _refused(start_response, HTTPStatus.NOT_FOUND)
        return metrics(environ, start_response)

    return app


def _refused(start_response: Callable[..., Any], status: HTTPStatus) -> list[bytes]:
    headers = [("Content-Type", "text/plain")]
    if status is HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    start_response(f"{status.value} {status.phrase}", headers)
    return [f"{status.phrase}\n".encode()]
