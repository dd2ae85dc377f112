"""The review page: loopback only, opened once by a token that the command prints."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dicom_io.errors import UnusableData
from training.site.reviewing.desk import Desk

HOST = "127.0.0.1"
_COOKIE = "ctscribe-review"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Door:
    """Lets in who comes with the token, which works once, or with the cookie that it was given for.

    A page of another site can send no cookie (SameSite) and no such Host.
    """

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.token = secrets.token_urlsafe(24)
        self._session = ""
        self._hosts = hosts

    def enter(self, request: Request) -> str:
        """The cookie for who has the token; "" for anybody else."""
        given = request.query_params.get("token", "")
        if not self.token or not secrets.compare_digest(given.encode(), self.token.encode()):
            return ""
        self.token, self._session = "", secrets.token_urlsafe(24)
        return self._session

    def knows(self, request: Request) -> bool:
        """Whether a request is of the one browser that came with the token."""
        cookie = request.cookies.get(_COOKIE, "")
        known = secrets.compare_digest(cookie.encode(), self._session.encode())
        return bool(self._session) and known and request.headers.get("host") in self._hosts


def application(desk: Desk, door: Door) -> Starlette:
    """The page and what it asks for, as JSON."""

    def inside(answer: Callable[[Request], Awaitable[Response]]) -> Callable[..., object]:
        async def guarded(request: Request) -> Response:
            if not door.knows(request):
                return PlainTextResponse("start the review again: its token works once", 403)
            try:
                response = await answer(request)
            except (UnusableData, KeyError, TypeError, ValueError) as error:
                why = str(error) if isinstance(error, UnusableData) else "no such request"
                response = JSONResponse({"error": why}, 400)
            response.headers.update(_HEADERS)
            return response

        return guarded

    async def page(request: Request) -> Response:
        cookie = door.enter(request)
        if not cookie and not door.knows(request):
            return PlainTextResponse("start the review again: its token works once", 403)
        text = (files("training.site.reviewing") / "page.html").read_text("utf-8")
        response = HTMLResponse(text, headers=_HEADERS)
        if cookie:
            response.set_cookie(_COOKIE, cookie, httponly=True, samesite="strict")
        return response

    async def overview(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.overview))

    async def report(request: Request) -> Response:
        return JSONResponse(desk.shown(request.path_params["study"]))

    async def act(request: Request) -> Response:
        said = await request.json()
        await run_in_threadpool(_ACTIONS[request.path_params["action"]], desk, said)
        return JSONResponse({})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/overview", inside(overview)),
            Route("/api/reports/{study}", inside(report)),
            Route("/api/{action}", inside(act), methods=["POST"]),
        ]
    )


_ACTIONS: dict[str, Callable[[Desk, dict[str, str]], None]] = {
    "decide": lambda desk, said: desk.decide(
        said["study"], int(said["n"]), said["decision"], said.get("replacement", "")
    ),
    "decide-alike": lambda desk, said: desk.decide_alike(
        said["original"], said["rule"], said["decision"]
    ),
    "add": lambda desk, said: desk.add(said["study"], said["original"], said["kind"]),
    "undo": lambda desk, _: desk.undo(),
    "read": lambda desk, said: desk.note_read(said["study"]),
    "list": lambda desk, said: desk.list_word(said["word"], is_name=said["as"] == "name"),
}


def serve(work: Path, reviewer: str, port: int = 0) -> None:
    """Serve the page until the person presses Ctrl-C.

    Parameters
    ----------
    work : Path
        Working folder of `ctscribe prepare site`.
    reviewer : str
        Whose name the data card gives.
    port : int
        On loopback; 0 takes a free one.
    """
    desk = Desk.open(work, reviewer)
    with socket.create_server((HOST, port)) as listener:
        number = listener.getsockname()[1]
        door = Door((f"{HOST}:{number}", f"localhost:{number}"))
        click.echo(f"open http://{HOST}:{number}/?token={door.token} (works once; Ctrl-C ends)")
        config = uvicorn.Config(application(desk, door), log_level="critical", access_log=False)
        uvicorn.Server(config).run([listener])
