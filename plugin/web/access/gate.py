"""The gate: every route stands behind it, with the role that it wants."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import Depends, Request
from fastapi import params as fastapi_params

from plugin.state.database import SessionFactory
from plugin.state.people import SignIn
from plugin.web.access.sessions import Role, current
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
    now : callable
        The moment, in UTC.
    """

    def __init__(self, sessions: SessionFactory, now: Callable[[], datetime] = utc_now) -> None:
        self.sessions = sessions
        self.now = now

    def allowed(self, role: Role) -> fastapi_params.Depends:
        """Return the dependency of a route that people with a role may call.

        Whoever may review or administer may read, too; nothing else implies another role.
        """

        def check(request: Request) -> SignIn:
            found = self.session_of(request)
            if found is None:
                raise Refused(401, "no-session", "sign in first")
            if role not in found.person.roles and (role != Role.READER or not found.person.roles):
                raise Refused(403, "wrong-role", f"this needs the role {role}")
            sent = request.headers.get(CSRF_HEADER, "")
            if request.method not in _SAFE and not _same(sent, found.csrf):
                raise Refused(403, "no-csrf-token", f"the header {CSRF_HEADER} is missing or wrong")
            return found

        dependency: fastapi_params.Depends = Depends(check)
        return dependency

    def session_of(self, request: Request) -> SignIn | None:
        """Return the session that a request belongs to."""
        secret = request.cookies.get(COOKIE)
        return self.session_with(secret) if secret else None

    def session_with(self, secret: str) -> SignIn | None:
        """Return the session of a cookie."""
        return current(self.sessions, secret, self.now())


def _same(sent: str, kept: str) -> bool:
    return hmac.compare_digest(sent.encode(), kept.encode())
