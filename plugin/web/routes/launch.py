"""A RIS or PACS opens a study: `/study?accession=…`, and the signed links to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from plugin.state import audit
from plugin.state.audit import Action, Entry
from plugin.state.kept.people import Person
from plugin.web.access.gate import Gate, address_of, identify, keep_cookie
from plugin.web.access.sessions import Role, let_in
from plugin.web.access.tokens import Scope
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.launch import LONGEST_LIFE_S, Link, checked, study_of_accession
from plugin.web.routes.office import Name

_LIFE_S = 120
"""Long enough to be clicked, or opened by a RIS that is slow."""


class Wanted(BaseModel):
    """A link to a study."""

    accession: Annotated[Name, Field(min_length=1)]
    reader: Name | None = None
    """Who will follow it: their name here; for programs only, which vouch for their users."""
    seconds: int = Field(default=_LIFE_S, ge=1, le=LONGEST_LIFE_S)


class Made(BaseModel):
    """A link that was signed."""

    url: str
    expires_at: datetime


def launch_router(gate: Gate, key: bytes | None, root: str, *, secure: bool) -> APIRouter:
    """Return the routes.

    Parameters
    ----------
    gate : Gate
        Knows the sessions.
    key : bytes, optional
        Signs links; without one there are none.
    root : str
        What browsers call the service; empty for addresses relative to it.
    secure : bool
        Whether browsers come by TLS.
    """
    router = APIRouter(tags=["launch"])

    @router.get(
        "/study", status_code=303, response_class=RedirectResponse, responses=may_answer(422)
    )
    def launch(
        request: Request,
        accession: Annotated[Name, Query(min_length=1)],
        signature: Name | None = None,
    ) -> RedirectResponse:
        """Open a study: by a signed link, by one's session, or after signing in."""
        secret = None
        if signature is not None:
            try:
                secret = _follow(gate, key, request)
            except Refused as refused:
                return _to("/sign-in", accession=accession, problem=refused.code)
        elif gate.session_of(request) is None:
            return _to("/sign-in", accession=accession)
        answer = _to_study(gate, accession)
        if secret is not None:
            keep_cookie(answer, secret, gate.limits, secure=secure)
        return answer

    @router.post(
        "/api/links",
        dependencies=[gate.allowed(Role.READER, Scope.LINKS)],
        responses=may_answer(404, 409, 422),
    )
    def sign(wanted: Wanted, request: Request) -> Made:
        """Sign a link: whoever follows it in time reads without signing in."""
        if key is None:
            raise Refused(409, "no-key", "web.links_secret_env names no secret to sign links with")
        who, now = identify(request), gate.now()
        reader = who.name if who.kind == "person" else wanted.reader or ""
        with gate.sessions.begin() as session:
            _reader(session, reader)
            detail = f"a link to accession number {wanted.accession} for {reader}"
            entry = Entry(action=Action.ASKED, who=who, detail=detail)
            audit.record(session, entry, now=now)
        expires = int(now.timestamp()) + wanted.seconds
        url = root.rstrip("/") + Link(wanted.accession, reader, expires).signed(key)
        return Made(url=url, expires_at=datetime.fromtimestamp(expires, UTC))

    return router


def _follow(gate: Gate, key: bytes | None, request: Request) -> str:
    """Begin the session of whoever follows a link; returns its secret."""
    if key is None:
        raise Refused(403, "bad-link", "the link is not signed by this service")
    now = gate.now()
    link = checked(request.query_params, key, now.timestamp())
    who = address_of(request)
    return let_in(gate.sessions, lambda session: _reader(session, link.reader), who, now)


def _reader(session: Session, name: str) -> Person:
    """Return who may come by a link; no administrator does: a RIS does not vouch for these."""
    person = session.get(Person, name)
    if person is None:
        raise Refused(404, "no-reader", "nobody here has this name")
    if Role.ADMINISTRATOR in person.roles:
        raise Refused(409, "administrator", "administrators sign in themselves")
    return person


def _to_study(gate: Gate, accession: str) -> RedirectResponse:
    try:
        return _to(f"/study/{study_of_accession(gate.sessions, accession)}")
    except Refused:  # the list says that there is none, or none yet
        return _to("/", view="all", search=accession)


def _to(path: str, **query: str) -> RedirectResponse:
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, status_code=303)
