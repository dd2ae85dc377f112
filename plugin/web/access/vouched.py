"""People who need no password here, since something else vouches for them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.state import audit
from plugin.state.audit import Action, Entry, Who
from plugin.state.clock import now_of
from plugin.state.kept.people import Person
from plugin.web.access.people import is_name
from plugin.web.access.sessions import Role, unknown_password
from plugin.web.dicomweb.problems import Refused


@dataclass(frozen=True)
class Vouched:
    """Who somebody is, and who says so.

    Parameters
    ----------
    by, subject : str
        Who vouches, and what it calls the person for ever.
    name, display_name : str
        What the person is called today.
    roles : tuple of Role
        What the person may do today.
    """

    by: str
    subject: str
    name: str
    display_name: str
    roles: tuple[Role, ...]

    def person(self, session: Session) -> Person:
        """Return the person: added at first, and with the roles of today.

        Raises
        ------
        Refused
            The name is none, or is somebody else's.
        """
        key = f"{self.by}|{self.subject}"
        person = session.scalar(select(Person).where(Person.subject == key).with_for_update())
        if person is None:
            person = self._added(session, key)
        elif person.roles != [*self.roles]:
            self._note(session, person.name)
        person.display_name, person.roles = self.display_name, [str(one) for one in self.roles]
        return person

    def _added(self, session: Session, key: str) -> Person:
        if not is_name(self.name) or len(key) > _LONGEST_KEY:
            raise Refused(403, "no-name", "the directory gives this person no name for us")
        if session.get(Person, self.name) is not None:
            raise Refused(403, "name-taken", "somebody else has this name: ask an administrator")
        person = Person(name=self.name, subject=key, password=unknown_password())
        session.add(person)
        self._note(session, self.name)
        return person

    def _note(self, session: Session, name: str) -> None:
        who = Who(kind="process", name=f"directory {self.by}")
        detail = f"user {name} is {', '.join(self.roles)} from now on"
        entry = Entry(action=Action.CONFIGURED, who=who, detail=detail)
        audit.record(session, entry, now=now_of(session))


# As the database keeps it
_LONGEST_KEY = 320
# Who uses the machine that the service runs on, where its settings let them in
THIS_MACHINE = Vouched("loopback", "anybody", "local", "This machine", tuple(Role))
