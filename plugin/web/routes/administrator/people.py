"""Who may come in: users, and the tokens of programs. Only people ask: no token makes another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.params import Depends
from pydantic import BaseModel, Field

from plugin.state.database import SessionFactory
from plugin.web.access.people import LONGEST_NAME, LONGEST_PASSWORD, SHORTEST_PASSWORD, People
from plugin.web.access.sessions import Role
from plugin.web.access.tokens import LONGEST_DAYS, Scope, Tokens
from plugin.web.dicomweb.routes import Identify
from plugin.web.routes.office import REFUSALS, Name, telling

Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role))]
Password = Annotated[str, Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)]
UserName = Annotated[Name, Field(min_length=1, max_length=LONGEST_NAME)]


class NewRoles(BaseModel):
    """What a user may do from now on."""

    roles: Roles


class NewPassword(BaseModel):
    """What a user signs in with from now on."""

    password: Password


class NewUser(NewRoles, NewPassword):
    """Somebody who is to sign in."""

    name: UserName
    display_name: Name = ""


class User(NewRoles):
    """Somebody who may sign in."""

    name: str
    display_name: str
    locked_until: datetime | None
    directory: str | None


class Users(BaseModel):
    """All of them, by name."""

    users: list[User]


class NewToken(BaseModel):
    """A program that is to ask."""

    name: UserName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] = 365


class MadeToken(BaseModel):
    """The token, which is shown once."""

    token: str


class Token(BaseModel):
    """A program that may ask."""

    name: str
    scopes: list[Scope]
    made_by: str
    ends_at: datetime
    used_at: datetime | None


class AllTokens(BaseModel):
    """All of them, by name."""

    tokens: list[Token]


def people_router(
    sessions: SessionFactory, identify: Identify, may: Sequence[Depends]
) -> APIRouter:
    """Return the routes of users and tokens.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    identify : Identify
        Names who asks.
    may : sequence of Depends
        What every request must pass.
    """
    router = APIRouter(prefix="/api/admin", tags=["administration"], dependencies=[*may])
    _add_users(router, lambda request: People(sessions, identify(request)))
    _add_tokens(router, lambda request: Tokens(sessions, identify(request)))
    return router


def _add_users(router: APIRouter, people: Callable[[Request], People]) -> None:
    @router.get("/users", responses=REFUSALS)
    def show(request: Request) -> Users:
        """List who may sign in."""
        return Users.model_validate({"users": people(request).known()}, from_attributes=True)

    @router.post("/users", status_code=204, responses=REFUSALS)
    def add(new: NewUser, request: Request) -> None:
        """Let somebody sign in."""
        with telling():
            people(request).add(new.name, new.display_name, new.roles, new.password)

    @router.put("/users/{name}/roles", status_code=204, responses=REFUSALS)
    def set_roles(name: Name, new: NewRoles, request: Request) -> None:
        """Give somebody other roles, from the next request on."""
        with telling():
            people(request).set_roles(name, new.roles)

    @router.put("/users/{name}/password", status_code=204, responses=REFUSALS)
    def set_password(name: Name, new: NewPassword, request: Request) -> None:
        """Give somebody another password, and end their sessions."""
        with telling():
            people(request).set_password(name, new.password)

    @router.delete("/users/{name}", status_code=204, responses=REFUSALS)
    def remove(name: Name, request: Request) -> None:
        """Let somebody sign in no more, and end their sessions."""
        with telling():
            people(request).remove(name)


def _add_tokens(router: APIRouter, tokens: Callable[[Request], Tokens]) -> None:
    @router.get("/tokens", responses=REFUSALS)
    def show(request: Request) -> AllTokens:
        """List which programs may ask; the tokens themselves are kept nowhere."""
        return AllTokens.model_validate({"tokens": tokens(request).known()}, from_attributes=True)

    @router.post("/tokens", status_code=201, responses=REFUSALS)
    def make(new: NewToken, request: Request) -> MadeToken:
        """Make a token."""
        with telling():
            return MadeToken(token=tokens(request).make(new.name, new.scopes, new.days))

    @router.delete("/tokens/{name}", status_code=204, responses=REFUSALS)
    def remove(name: Name, request: Request) -> None:
        """Remove a token: it is refused from now on."""
        with telling():
            tokens(request).remove(name)
