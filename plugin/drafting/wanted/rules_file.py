"""The settings file is read again while the service runs, for its rules.

A file that cannot be used changes nothing: the rules before it stay, and an alert says what is
wrong. Either is told once, however many workers read the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.errors import ConfigurationError
from plugin.rules.rules import Rules
from plugin.state import audit
from plugin.state.audit import Action, Entry, Outcome, this_process
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory, one_at_a_time
from plugin.state.kinds import Kind
from plugin.state.tables import Event, Level
from plugin.state.timeline import add_event

_State = tuple[int, int, int]


class RulesFile:
    """The rules of a settings file, as it stands.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    path : Path or None
        The file; without one the rules stay what they are.
    load : callable
        Reads it; raises `ConfigurationError`.
    rules : Rules
        As they were read when the service started.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        path: Path | None,
        load: Callable[[], Rules],
        rules: Rules,
    ) -> None:
        self._sessions, self._path, self._load = sessions, path, load
        self._asked = False
        self._read = self._seen = self._look()
        self.rules = rules
        self._tell(Kind.RULES_CHANGED, described(rules), rules.digest, Level.INFO)

    def ask(self) -> None:
        """Read the file at the next look, even if it seems unchanged; safe in a signal handler."""
        self._asked = True

    def changed(self) -> Rules | None:
        """Return the rules of the file if they are others than before.

        A file that was written since the last look is read at the next one: it may be half
        written now.
        """
        before, self._seen = self._seen, self._look()
        if self._seen != before or (self._seen == self._read and not self._asked):
            return None
        self._asked = False
        self._read = self._seen
        try:
            rules = self._load()
        except ConfigurationError as error:
            message = f"the rules stay as they are: {error}"
            self._tell(Kind.RULES_REFUSED, message, message, Level.ALERT)
            return None
        former, self.rules = self.rules, rules
        self._tell(Kind.RULES_CHANGED, described(rules, former), rules.digest, Level.INFO)
        return rules if rules.digest != former.digest else None

    def _look(self) -> _State | None:
        """What tells that a file was written; None while it is being replaced."""
        try:
            found = self._path and self._path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None

    def _tell(self, kind: Kind, message: str, mark: str, level: Level) -> None:
        """Write an event unless the latest of rules is the same."""
        with self._sessions.begin() as session:
            one_at_a_time(session)
            if _latest_mark(session) != mark:
                now, detail = now_of(session), {"mark": mark}
                add_event(session, kind, message, now=now, level=level, detail=detail)
                refused = kind is Kind.RULES_REFUSED
                entry = Entry(
                    action=Action.CONFIGURED,
                    who=this_process(),
                    outcome=Outcome.MINOR_FAILURE if refused else Outcome.SUCCESS,
                    detail=message,
                )
                audit.record(session, entry, now=now)


def described(rules: Rules, before: Rules | None = None) -> str:
    """Say which rules there are, and what is new about them."""
    names = [rule.name for rule in rules.rules]
    message = f"rules {rules.digest}: {', '.join(names) or 'none'}"
    if before is None:
        return message
    old = {rule.name: rule for rule in before.rules}
    new = {rule.name: rule for rule in rules.rules}
    kinds = {
        "new": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }
    return message + "".join(
        f"; {kind}: {', '.join(which)}" for kind, which in kinds.items() if which
    )


def _latest_mark(session: Session) -> str | None:
    of_rules = Event.kind.in_((Kind.RULES_CHANGED, Kind.RULES_REFUSED))
    latest = select(Event.detail).where(of_rules).order_by(Event.id.desc()).limit(1)
    detail = session.scalar(latest)
    return None if detail is None else detail.get("mark")
