"""Who is signed in: `/api/session`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from plugin.state.kept.people import Person, SignIn
from plugin.web.access.gate import COOKIE, Gate, address_of, keep_cookie
from plugin.web.access.pace import Pace
from plugin.web.access.sessions import Role, let_in, sign_in, sign_out
from plugin.web.access.strangers import Strangers
from plugin.web.access.vouched import THIS_MACHINE
from plugin.web.dicomweb.problems import may_answer

# From one address: a ward behind it changes shifts; who guesses names needs thousands
_A_SECOND, _AT_ONCE = 1.0, 60.0


class Credentials(BaseModel):
    """What a person types."""

    name: str = Field(max_length=64)
    # Longer ones would cost work, and nobody types them
    password: str = Field(max_length=1024)


class Language(BaseModel):
    """What the pages are read in."""

    language: Literal["en", "de"]


class User(BaseModel):
    """Who is signed in."""

    name: str
    display_name: str
    roles: list[Role]
    language: str | None


class Provider(BaseModel):
    """A directory that people sign in with: `/api/session/oidc/{id}` leads there."""

    id: str
    title: str


class Session(BaseModel):
    """What a page needs to know of its session, and of this service."""

    user: User | None
    csrf: str | None
    version: str
    providers: list[Provider]
    ohif: bool


@dataclass(frozen=True)
class Entrance:
    """How people come in, beside their passwords.

    Parameters
    ----------
    providers : tuple of (str, str)
        Id and title of each directory.
    without_login : bool
        Whether whoever reaches the service is let in: only this machine does.
    ohif : bool
        Whether studies link to OHIF.
    """

    providers: tuple[tuple[str, str], ...] = ()
    without_login: bool = False
    ohif: bool = False


def session_router(gate: Gate, entrance: Entrance, *, secure: bool) -> APIRouter:
    """Return the routes; the first two need no session.

    Parameters
    ----------
    gate : Gate
        Knows the sessions.
    entrance : Entrance
        How people come in, beside their passwords.
    secure : bool
        Whether browsers come by TLS, and send the cookie no other way.
    """
    router = APIRouter(prefix="/api/session", tags=["session"])
    attempts, strangers = Pace(_A_SECOND, _AT_ONCE), Strangers()

    @router.get("")
    def show(request: Request, response: Response) -> Session:
        """Tell who is signed in."""
        found = gate.session_of(request)
        if found is None and entrance.without_login:
            address, now = address_of(request), gate.now()
            secret = let_in(gate.sessions, THIS_MACHINE.person, address, now)
            return welcome(secret, response)
        return _told(found, entrance)

    @router.post("", responses=may_answer(429))
    def begin(typed: Credentials, request: Request, response: Response) -> Session:
        """Begin a session."""
        address, now = address_of(request), gate.now()
        attempts.require(address)
        typed_in = typed.name, typed.password, address, now, gate.limits, strangers
        secret, _ = sign_in(gate.sessions, *typed_in)
        return welcome(secret, response)

    def welcome(secret: str, response: Response) -> Session:
        keep_cookie(response, secret, gate.limits, secure=secure)
        return _told(gate.session_with(secret), entrance)

    @router.put(
        "/language",
        status_code=204,
        dependencies=[gate.allowed(Role.READER)],
        responses=may_answer(),
    )
    def choose(chosen: Language, request: Request) -> None:
        """Keep the language of whoever asks."""
        found = gate.session_of(request)
        with gate.sessions.begin() as session:
            if found and (person := session.get(Person, found.person_name)):
                person.language = chosen.language

    @router.delete(
        "", status_code=204, dependencies=[gate.allowed(Role.READER)], responses=may_answer()
    )
    def end(request: Request, response: Response) -> None:
        """End the session."""
        if COOKIE in request.cookies:
            sign_out(gate.sessions, request.cookies[COOKIE], gate.now(), gate.limits)
        response.delete_cookie(COOKIE)

    return router


def _told(found: SignIn | None, entrance: Entrance) -> Session:
    return Session(
        user=_user(found.person) if found else None,
        csrf=found.csrf if found else None,
        version=version("ctscribe"),
        providers=[Provider(id=key, title=title) for key, title in entrance.providers],
        ohif=entrance.ohif,
    )


def _user(person: Person) -> User:
    return User(
        name=person.name,
        display_name=person.display_name,
        roles=[Role(role) for role in person.roles],
        language=person.language,
    )
