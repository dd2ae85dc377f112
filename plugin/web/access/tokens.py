"""Programs that ask: a token says what one may do, and until when."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update

from dicom_io.errors import NotKnown, PluginError
from plugin.state import audit
from plugin.state.audit import Action, Entry, Who
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kept.people import ApiToken

# So a token is known for one where it should not be, such as in a repository
_BEGIN = "ctscribe_"
# Ten years: who wants more forgets it
LONGEST_DAYS = 3650


class Scope(StrEnum):
    """What a program may do; none decides on a report by itself."""

    DICOMWEB_READ = "dicomweb-read"
    DICOMWEB_WRITE = "dicomweb-write"
    READING = "reading"
    ADMINISTRATION = "administration"
    LINKS = "links"
    """Vouches for people who follow its links."""


@dataclass(frozen=True)
class KnownToken:
    """A token, without the secret."""

    name: str
    scopes: tuple[str, ...]
    made_by: str
    ends_at: datetime
    used_at: datetime | None


class Tokens:
    """The tokens of a service.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    by : Who
        Makes and removes them.
    """

    def __init__(self, sessions: SessionFactory, by: Who) -> None:
        self._sessions = sessions
        self._by = by

    def known(self) -> list[KnownToken]:
        """Return all of them by name."""
        with self._sessions() as session:
            rows = session.scalars(select(ApiToken).order_by(ApiToken.name))
            return [
                KnownToken(one.name, tuple(one.scopes), one.made_by, one.ends_at, one.used_at)
                for one in rows
            ]

    def make(self, name: str, scopes: Collection[str], days: int) -> str:
        """Make a token, and return it: nothing else knows it.

        Parameters
        ----------
        name : str
            Of the program.
        scopes : collection of str
            See `Scope`.
        days : int
            How long it is of use.

        Raises
        ------
        PluginError
            There is one of this name, or no such scope.
        """
        if not scopes or not set(scopes) <= set(Scope):
            raise PluginError(f"a token has scopes, out of {', '.join(Scope)}")
        if not 0 < len(name) <= 64 or not name.isprintable():
            raise PluginError("a token's name has 1 to 64 printable characters")
        token = _BEGIN + secrets.token_urlsafe(32)
        with self._sessions.begin() as session:
            if session.get(ApiToken, name) is not None:
                raise PluginError(f"there is a token called {name} already")
            now, chosen = now_of(session), [str(one) for one in Scope if one in set(scopes)]
            made = ApiToken(name=name, digest=_digest(token), scopes=chosen, made_by=self._by.name)
            made.made_at, made.ends_at = now, now + timedelta(days=days)
            session.add(made)
            detail = f"token {name} made for {', '.join(chosen)}, for {days} days"
            entry = Entry(action=Action.CONFIGURED, who=self._by, detail=detail)
            audit.record(session, entry, now=now)
        return token

    def remove(self, name: str) -> None:
        """Remove a token: it is refused from now on.

        Raises
        ------
        NotKnown
            There is none of this name.
        """
        with self._sessions.begin() as session:
            found = session.get(ApiToken, name)
            if found is None:
                raise NotKnown(f"there is no token called {name}")
            session.delete(found)
            entry = Entry(action=Action.CONFIGURED, who=self._by, detail=f"token {name} removed")
            audit.record(session, entry, now=now_of(session))


def token_with(sessions: SessionFactory, token: str, now: datetime) -> ApiToken | None:
    """Return what is known of a token, which is used by this; None where it is of no use.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    token : str
        The secret.
    now : datetime
        The moment, in UTC.
    """
    with sessions() as session:
        found = session.scalar(select(ApiToken).where(ApiToken.digest == _digest(token)))
    if found is None or now >= found.ends_at:
        return None
    if found.used_at is None or now - found.used_at > timedelta(minutes=1):
        with sessions.begin() as session:
            session.execute(update(ApiToken).filter_by(name=found.name).values(used_at=now))
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
