"""Who is signed in: `/api/session`."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from plugin.state.people import SignIn
from plugin.web.access.attempts import Attempts
from plugin.web.access.gate import COOKIE, Gate, address_of
from plugin.web.access.sessions import Role, sign_in, sign_out
from plugin.web.dicomweb.problems import may_answer


class Credentials(BaseModel):
    """What a person types."""

    name: str = Field(max_length=64)
    # Longer ones would cost work, and nobody types them
    password: str = Field(max_length=1024)


class User(BaseModel):
    """Who is signed in."""

    name: str
    display_name: str
    roles: list[Role]


class Session(BaseModel):
    """What a page needs to know of its session."""

    user: User | None
    csrf: str | None
    version: str


def session_router(gate: Gate, *, secure: bool) -> APIRouter:
    """Return the routes; the first two need no session.

    Parameters
    ----------
    gate : Gate
        Knows the sessions.
    secure : bool
        Whether browsers come by TLS, and send the cookie no other way.
    """
    router = APIRouter(prefix="/api/session", tags=["session"])
    attempts = Attempts()

    @router.get("")
    def show(request: Request) -> Session:
        return _session(gate.session_of(request))

    @router.post("", responses=may_answer(429))
    def begin(typed: Credentials, request: Request, response: Response) -> Session:
        address, now = address_of(request), gate.now()
        attempts.require(address)
        secret, _ = sign_in(gate.sessions, typed.name, typed.password, address, now, gate.limits)
        response.set_cookie(
            COOKIE,
            secret,
            max_age=int(gate.limits.longest.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=secure,
        )
        return _session(gate.session_with(secret))

    @router.delete(
        "", status_code=204, dependencies=[gate.allowed(Role.READER)], responses=may_answer()
    )
    def end(request: Request, response: Response) -> None:
        if COOKIE in request.cookies:
            sign_out(gate.sessions, request.cookies[COOKIE], gate.now(), gate.limits)
        response.delete_cookie(COOKIE)

    return router


def _session(found: SignIn | None) -> Session:
    ours = version("ctscribe")
    if found is None:
        return Session(user=None, csrf=None, version=ours)
    person = found.person
    roles = [Role(role) for role in person.roles]
    user = User(name=person.name, display_name=person.display_name, roles=roles)
    return Session(user=user, csrf=found.csrf, version=ours)
