"""The gate: every route stands behind it, with the role that it wants."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import Depends, Request, Response
from fastapi import params as fastapi_params

from plugin.state.audit import Who
from plugin.state.database import SessionFactory
from plugin.state.kept.people import SignIn
from plugin.web.access.sessions import Limits, Role, current
from plugin.web.access.tokens import Scope, token_with
from plugin.web.dicomweb.problems import Refused

COOKIE = "ctscribe_session"
CSRF_HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def utc_now() -> datetime:
    """Return the moment."""
    return datetime.now(UTC)


class Gate:
    """Lets requests through by their session.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    limits : Limits
        How long sessions last.
    now : callable
        The moment, in UTC.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        limits: Limits | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.sessions = sessions
        self.limits = limits or Limits()
        self.now = now

    def allowed(
        self, role: Role, scope: Scope | None = None, *, uses: bool = True
    ) -> fastapi_params.Depends:
        """Return the dependency of a route that people with a role may call.

        Whoever may review or administer may read, too; nothing else implies another role.

        Parameters
        ----------
        role : Role
            That people need.
        scope : Scope, optional
            That programs need; without one, no program may call the route.
        uses : bool
            False for what an open page asks by itself: its session ends all the same.
        """

        def check(request: Request) -> SignIn | None:
            token = _bearer(request)
            if token is not None:
                self._let_in(request, token, scope)
                return None
            found = self.session_of(request, uses=uses)
            if found is None:
                raise Refused(401, "no-session", "sign in first")
            if role not in found.person.roles and (role != Role.READER or not found.person.roles):
                raise Refused(403, "wrong-role", f"this needs the role {role}")
            sent = request.headers.get(CSRF_HEADER, "")
            if request.method not in _SAFE and not _same(sent, found.csrf):
                raise Refused(403, "no-csrf-token", f"the header {CSRF_HEADER} is missing or wrong")
            name, address = found.person.name, address_of(request)
            request.state.who = Who(kind="person", name=name, address=address)
            return found

        dependency: fastapi_params.Depends = Depends(check)
        return dependency

    def _let_in(self, request: Request, secret: str, scope: Scope | None) -> None:
        """Let a program in, by its token."""
        token = token_with(self.sessions, secret, self.now())
        if token is None:
            raise Refused(401, "no-token", "the token is unknown, or over")
        if scope is None or scope not in token.scopes:
            needed = f"the scope {scope}" if scope else "a person"
            raise Refused(403, "wrong-scope", f"this needs {needed}")
        name = f"token {token.name}"
        request.state.who = Who(kind="process", name=name, address=address_of(request))

    def session_of(self, request: Request, *, uses: bool = True) -> SignIn | None:
        """Return the session that a request belongs to, and uses unless a page asks by itself."""
        secret = request.cookies.get(COOKIE)
        return self.session_with(secret, uses=uses) if secret else None

    def session_with(self, secret: str, *, uses: bool = True) -> SignIn | None:
        """Return the session of a cookie."""
        return current(self.sessions, secret, self.now(), self.limits, uses=uses)


def identify(request: Request) -> Who:
    """Name who asks; of a request that was let in."""
    who: Who = request.state.who
    return who


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


def keep_cookie(response: Response, secret: str, limits: Limits, *, secure: bool) -> None:
    """Give a browser the cookie of its session.

    Parameters
    ----------
    response : Response
        To the browser.
    secret : str
        Of the session.
    limits : Limits
        How long it lasts.
    secure : bool
        Whether browsers come by TLS, and send the cookie no other way.
    """
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(limits.longest.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=secure,
    )


def _bearer(request: Request) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _same(sent: str, kept: str) -> bool:
    return hmac.compare_digest(sent.encode(), kept.encode())
