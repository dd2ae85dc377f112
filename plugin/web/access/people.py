"""Who may sign in: people are added, changed and removed, and each change is in the audit trail."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_io.errors import NotKnown, PluginError
from plugin.state import audit
from plugin.state.audit import Action, Entry, Who
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kept.people import Person, SignIn
from plugin.web.access.passwords import hashed
from plugin.web.access.sessions import Role

# NIST SP 800-63B 5.1.1.2 asks for 8; one that is tried offline wants more
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1024
LONGEST_NAME = 64


@dataclass(frozen=True)
class Known:
    """A person of the reading room."""

    name: str
    display_name: str
    roles: tuple[str, ...]
    locked_until: datetime | None = None
    directory: str | None = None


class People:
    """The people of a service.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    by : Who
        Changes them.
    """

    def __init__(self, sessions: SessionFactory, by: Who) -> None:
        self._sessions = sessions
        self._by = by

    def known(self) -> list[Known]:
        """Return all of them by name."""
        with self._sessions() as session:
            rows = session.scalars(select(Person).order_by(Person.name))
            return [
                Known(
                    one.name,
                    one.display_name,
                    tuple(one.roles),
                    one.locked_until,
                    one.subject.partition("|")[0] if one.subject else None,
                )
                for one in rows
            ]

    def add(self, name: str, display_name: str, roles: Collection[str], password: str) -> None:
        """Add a person.

        Parameters
        ----------
        name, display_name : str
            What they sign in with, and what others see.
        roles : collection of str
            See `Role`.
        password : str
            At first.

        Raises
        ------
        PluginError
            There is such a person, or a value is not allowed.
        """
        if not is_name(name):
            raise PluginError(f"a name has 1 to {LONGEST_NAME} printable characters")
        _require_roles(roles)
        kept = _kept(password)
        with self._sessions.begin() as session:
            if session.get(Person, name) is not None:
                raise PluginError(f"there is a user called {name} already")
            person = Person(name=name, display_name=display_name or name, password=kept)
            person.roles = _ordered(roles)
            session.add(person)
            self._note(session, f"user {name} added as {_listed(roles)}")

    def set_password(self, name: str, password: str) -> None:
        """Give a person another password, and end their sessions.

        Raises
        ------
        NotKnown
            There is no such person.
        PluginError
            It is too short.
        """
        kept = _kept(password)
        with self._sessions.begin() as session:
            person = _person(session, name)
            person.password, person.failures, person.locked_until = kept, 0, None
            session.execute(delete(SignIn).where(SignIn.person_name == name))
            self._note(session, f"user {name} got another password")

    def set_roles(self, name: str, roles: Collection[str]) -> None:
        """Give a person other roles, from their next request on.

        Raises
        ------
        NotKnown
            There is no such person.
        PluginError
            There is no such role.
        """
        _require_roles(roles)
        with self._sessions.begin() as session:
            _person(session, name).roles = _ordered(roles)
            self._note(session, f"user {name} is {_listed(roles)} from now on")

    def remove(self, name: str) -> None:
        """Remove a person, and end their sessions.

        Raises
        ------
        NotKnown
            There is no such person.
        """
        with self._sessions.begin() as session:
            session.delete(_person(session, name))
            self._note(session, f"user {name} removed")

    def _note(self, session: Session, detail: str) -> None:
        entry = Entry(action=Action.CONFIGURED, who=self._by, detail=detail)
        audit.record(session, entry, now=now_of(session))


def is_name(name: str) -> bool:
    """Whether somebody may be called so."""
    return 0 < len(name) <= LONGEST_NAME and name == name.strip() and name.isprintable()


def _person(session: Session, name: str) -> Person:
    person = session.get(Person, name, with_for_update=True)
    if person is None:
        raise NotKnown(f"there is no user called {name}")
    return person


def _require_roles(roles: Collection[str]) -> None:
    if not roles or (unknown := sorted(set(roles) - set(Role))):
        wanted = f"there is no role {unknown[0]}" if roles else "a user has at least one role"
        raise PluginError(f"{wanted}; roles are {', '.join(Role)}")


def _kept(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise PluginError(f"a password has at least {SHORTEST_PASSWORD} characters")
    return hashed(password)


def _ordered(roles: Collection[str]) -> list[str]:
    return [str(role) for role in Role if role in set(roles)]


def _listed(roles: Collection[str]) -> str:
    return ", ".join(map(str, roles))
