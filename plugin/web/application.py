"""The application that serves the reading room: its routes, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Call

from plugin.web.access.gate import Gate
from plugin.web.access.sessions import Role
from plugin.web.access.tokens import Scope
from plugin.web.dicomweb.problems import Refused, answer_refused, may_answer
from plugin.web.pages import pages
from plugin.web.routes.session import Entrance, session_router

# Decoders of compressed images are WebAssembly; the viewer's mouse cursors are blobs
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(
    gate: Gate,
    routers: Iterable[APIRouter] = (),
    *,
    secure: bool,
    entrance: Entrance | None = None,
    built: Path | None = None,
) -> FastAPI:
    """Put the application together.

    Parameters
    ----------
    gate : Gate
        Knows the sessions.
    routers : iterable of APIRouter
        Of all resources but the session; each route depends on `gate.allowed`.
    secure : bool
        Whether browsers come by TLS.
    entrance : Entrance, optional
        How people come in, beside their passwords.
    built : Path, optional
        Folder of the built pages.
    """
    app = FastAPI(title="ctscribe", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(Refused, answer_refused)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_middleware(_Guarded)
    for router in (session_router(gate, entrance or Entrance(), secure=secure), *routers):
        app.include_router(router)
    _describe(app, gate)
    if built is not None:  # last, as it takes every other address
        app.mount("/", pages(built))
    return app


def _describe(app: FastAPI, gate: Gate) -> None:
    """Give the OpenAPI description to whoever may read."""

    @app.get(
        "/api/openapi.json",
        dependencies=[gate.allowed(Role.READER, Scope.READING)],
        responses=may_answer(),
        tags=["description"],
    )
    def openapi() -> dict[str, Any]:
        """Describe this interface, as OpenAPI does."""
        return app.openapi()


class _Guarded:
    """Adds to each answer what browsers are to refuse."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Call, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, guarded)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Where the fault is, and not what was sent: it may be a password or a name
    places = sorted({".".join(map(str, one["loc"])) for one in error.errors()})
    body = {"error": f"the request is not valid at {', '.join(places)}", "code": "invalid-request"}
    return JSONResponse(body, status_code=422)


async def _answer_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = str(error.detail).lower().replace(" ", "-")
    body = {"error": str(error.detail), "code": code}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)
