"""On the way to a directory and back: `/api/session/oidc`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from plugin.web.access.directories import Directory
from plugin.web.access.gate import Gate, address_of, keep_cookie
from plugin.web.access.sessions import let_in
from plugin.web.access.vouched import Vouched
from plugin.web.dicomweb.problems import Refused, may_answer

Provider = Annotated[str, Path(pattern="^[a-z0-9-]{1,32}$")]
# A page of ours: browsers take `//` and `/\` for another host
Page = Annotated[str, Query(max_length=512, pattern=r"^/([!-.0-\[\]-~][!-~]*)?$")]
_NEXT = "next"


def directories_router(
    gate: Gate, directories: Sequence[Directory], public_url: str | None, *, secure: bool
) -> APIRouter:
    """Return the routes; whoever calls them has no session yet.

    Parameters
    ----------
    gate : Gate
        Knows the sessions.
    directories : sequence of Directory
        Where people come from.
    public_url : str, optional
        What browsers call the service; by default what they ask for.
    secure : bool
        Whether browsers come by TLS.
    """
    router = APIRouter(prefix="/api/session/oidc", tags=["session"])
    known = {one.id: one for one in directories}

    def directory(provider: str) -> Directory:
        if provider not in known:
            raise Refused(404, "no-directory", "there is no such directory")
        return known[provider]

    @router.get(
        "/{provider}",
        status_code=302,
        response_class=Response,
        responses={303: {"description": "to the page that says why not"}, **may_answer(404, 422)},
    )
    async def ask(provider: Provider, request: Request, next: Page = "/") -> Response:
        """Send a browser to the directory; it comes back to the page `next`."""
        root = (public_url or str(request.base_url)).rstrip("/")
        chosen = directory(provider)
        try:
            answer = await chosen.ask(request, f"{root}/api/session/oidc/{provider}/callback")
        except Refused as refused:
            return _told(refused, next)
        request.session[_NEXT] = next
        return answer

    @router.get(
        "/{provider}/callback",
        status_code=303,
        response_class=Response,
        responses=may_answer(404, 422),
    )
    async def welcome(provider: Provider, request: Request) -> Response:
        """Begin the session of whom the directory vouches for."""
        chosen, page = directory(provider), request.session.pop(_NEXT, "/")
        try:
            secret = await run_in_threadpool(begin, await chosen.welcome(request), request)
        except Refused as refused:
            return _told(refused, page)
        answer = RedirectResponse(page, status_code=303)
        keep_cookie(answer, secret, gate.limits, secure=secure)
        return answer

    def begin(who: Vouched, request: Request) -> str:
        return let_in(gate.sessions, who.person, address_of(request), gate.now())

    return router


def _told(refused: Refused, page: str) -> Response:
    """Tell a person on the sign-in page, which still knows the study that a RIS wanted to open."""
    wanted = urlsplit(page)
    query = parse_qs(wanted.query) if wanted.path == "/study" else {}
    told = {"problem": refused.code, **{key: query[key][0] for key in query if key == "accession"}}
    return RedirectResponse(f"/sign-in?{urlencode(told)}", status_code=303)
