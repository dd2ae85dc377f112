"""What stands before an engine's server: who may ask, how many at once, and what is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ipaddress import ip_address
from secrets import compare_digest

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_io.errors import EngineError, EngineUnavailable
from engine.serving.metrics import ServingMetrics
from engine.serving.wire import pack_error

LOGGER = logging.getLogger(__name__)
OPEN = ("/health", "/ready")
"""Paths that say nothing about the model, for probes that hold no token."""
COUNTED = ("/v1/report", "/v1/samples", "/v1/ask", "/v1/evidence", "/v1/confidence")
"""Paths that are counted and logged by name; any other path is what somebody made up."""


class TokenGate:
    """ASGI middleware: answers only those who may ask.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str, optional
        What a caller must send as bearer token; without one only this host's own callers may ask.
    """

    def __init__(self, app: ASGIApp, token: str | None):
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._may_ask(scope):
            await self._app(scope, receive, send)
        else:
            await _refusal(401, EngineError("the token is missing or wrong"))(scope, receive, send)

    def _may_ask(self, scope: Scope) -> bool:
        if self._token is None:
            return _is_local(scope)
        given = Headers(scope=scope).get("authorization", "")
        return compare_digest(given.encode(), f"Bearer {self._token}".encode())


class LoadGate:
    """ASGI middleware: lets so many requests in, tells one more when to come again, counts all.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    limit : int
        How many requests with a body may be uploaded, wait or be at work.
    metrics : ServingMetrics
        Where they are counted.
    retry_after_s : callable
        When a caller who is turned away should come again.
    """

    def __init__(
        self, app: ASGIApp, limit: int, metrics: ServingMetrics, retry_after_s: Callable[[], int]
    ):
        self._app = app
        self._limit = limit
        self._metrics = metrics
        self._retry_after_s = retry_after_s
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif self._in_flight >= self._limit:
            await self._counted(self._busy(), scope, receive, send)
        else:
            self._change(+1)
            try:
                await self._counted(self._app, scope, receive, send)
            finally:
                self._change(-1)

    def _change(self, by: int) -> None:
        self._in_flight += by
        self._metrics.in_flight.set(self._in_flight)

    def _busy(self) -> JSONResponse:
        error = EngineUnavailable(f"the engine is busy: {self._in_flight} requests wait")
        return _refusal(503, error, {"Retry-After": str(self._retry_after_s())})

    async def _counted(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.monotonic(), 500
        path = scope["path"] if scope["path"] in COUNTED else "other"

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            seconds = time.monotonic() - started
            status = scope.get("state", {}).get("status", status)
            self._metrics.observe_request(path, status, seconds)
            LOGGER.info("%s: %d in %.2f s", path, status, seconds)


def _refusal(
    status: int, error: EngineError, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(pack_error(error), status, headers)


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ip_address(client[0]).is_loopback
    except ValueError:
        return False
