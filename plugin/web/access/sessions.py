"""People sign in by name and password, and stay for as long as they work."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache

from sqlalchemy import delete, update
from sqlalchemy.orm import Session, joinedload

from plugin.state import audit
from plugin.state.audit import Action, Entry, Outcome, Who
from plugin.state.database import SessionFactory
from plugin.state.kept.people import Person, SignIn
from plugin.web.access.passwords import hashed, matches
from plugin.web.access.strangers import Stranger, Strangers
from plugin.web.dicomweb.problems import Refused

# A password takes 64 MiB and all cores for a moment: two at a time, and nobody waits for long
_AT_A_TIME = threading.BoundedSemaphore(2)
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Limits:
    """How long sessions last, and when a person is locked out.

    A reader who goes for lunch signs in again; nobody stays for longer than a long shift. Guessing
    at this rate takes years; a person who forgot a password waits a quarter of an hour.
    """

    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)
    failures: int = 10
    locked: timedelta = timedelta(minutes=15)


class Role(StrEnum):
    """What a person may do; a person may have several."""

    READER = "reader"
    RADIOLOGIST = "radiologist"
    ADMINISTRATOR = "administrator"


def sign_in(
    sessions: SessionFactory,
    name: str,
    password: str,
    address: str,
    now: datetime,
    limits: Limits,
    strangers: Strangers,
) -> tuple[str, SignIn]:
    """Begin a session, and return the secret of its cookie with it.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    name, password : str
        As they were typed.
    address : str
        Where the browser is, for the audit trail.
    now : datetime
        The moment, in UTC.
    limits : Limits
        When a person is locked out.
    strangers : Strangers
        Counts the attempts under names that nobody has.

    Raises
    ------
    Refused
        They belong to nobody, too many wrong passwords were typed, or too many people sign in.
    """
    with sessions() as session:
        person = session.get(Person, name)
        _require_unlocked(person or strangers.of(name), now)
        kept = person.password if person else unknown_password()
    # Outside the transaction: it takes a while, and as long for a name that nobody has
    right = _is_right(password, kept)
    with sessions.begin() as session:
        person = session.get(Person, name, with_for_update=True)
        _require_unlocked(person or strangers.of(name), now)
        # A name that nobody has may be a password in the wrong field
        who = Who(kind="person", name=person.name if person else "unknown", address=address)
        outcome = Outcome.SUCCESS if person and right else Outcome.MINOR_FAILURE
        audit.record(session, Entry(action=Action.LOGIN, who=who, outcome=outcome), now=now)
        begun = _begin(person, now) if person and right else None
        if begun is not None:
            session.add(begun[1])
        else:
            _count_failure(person or strangers.of(name), now, limits)
    if begun is None:
        raise Refused(401, "wrong-password", "the name or the password is wrong")
    return begun


def let_in(
    sessions: SessionFactory, find: Callable[[Session], Person], address: str, now: datetime
) -> str:
    """Begin a session of a person who needs no password here, and return its cookie's secret.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    find : callable
        Returns the person, or raises `Refused`; the session begins in its transaction.
    address : str
        Where the browser is, for the audit trail.
    now : datetime
        The moment, in UTC.
    """
    with sessions.begin() as session:
        person = find(session)
        secret, begun = _begin(person, now)
        session.add(begun)
        who = Who(kind="person", name=person.name, address=address)
        audit.record(session, Entry(action=Action.LOGIN, who=who), now=now)
    return secret


def _require_unlocked(who: Person | Stranger, now: datetime) -> None:
    if who.locked_until and now < who.locked_until:
        left = who.locked_until - now
        minutes = -(-left // timedelta(minutes=1))
        when = "in a minute" if minutes == 1 else f"in {minutes} minutes"
        error = f"too many wrong passwords: try again {when}"
        raise Refused(429, "locked", error, after_s=left.total_seconds())


def _is_right(password: str, kept: str) -> bool:
    if not _AT_A_TIME.acquire(timeout=_PATIENCE_S):
        error = "too many people sign in at the moment: try again"
        raise Refused(429, "busy", error, after_s=_PATIENCE_S)
    try:
        return matches(password, kept)
    finally:
        _AT_A_TIME.release()


def current(
    sessions: SessionFactory, secret: str, now: datetime, limits: Limits, *, uses: bool = True
) -> SignIn | None:
    """Return the session of a cookie; None where there is none, or no more.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    secret : str
        The cookie.
    now : datetime
        The moment, in UTC.
    limits : Limits
        How long it lasts.
    uses : bool
        Whether somebody works with it, so that it lasts longer.
    """
    with sessions() as session:
        found = session.get(SignIn, _digest(secret), options=[joinedload(SignIn.person)])
    if found is None or _is_over(found, now, limits):
        return None
    # Once a minute is enough; a page asks for hundreds of frames
    if uses and now - found.used_at > timedelta(minutes=1):
        with sessions.begin() as session:
            session.execute(update(SignIn).filter_by(digest=found.digest).values(used_at=now))
    return found


def _is_over(one: SignIn, now: datetime, limits: Limits) -> bool:
    return now - one.used_at > limits.idle or now - one.began_at > limits.longest


def sign_out(sessions: SessionFactory, secret: str, now: datetime, limits: Limits) -> None:
    """End the session of a cookie, and forget those that are over.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    secret : str
        The cookie.
    now : datetime
        The moment, in UTC.
    limits : Limits
        How long sessions last.
    """
    over = now - limits.longest
    with sessions.begin() as session:
        gone = (SignIn.digest == _digest(secret)) | (SignIn.began_at < over)
        session.execute(delete(SignIn).where(gone))


def _begin(person: Person, now: datetime) -> tuple[str, SignIn]:
    person.failures, person.locked_until = 0, None
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    begun = SignIn(
        digest=_digest(secret), person_name=person.name, csrf=csrf, began_at=now, used_at=now
    )
    return secret, begun


def _count_failure(who: Person | Stranger, now: datetime, limits: Limits) -> None:
    who.failures += 1
    if who.failures >= limits.failures:
        who.failures, who.locked_until = 0, now + limits.locked


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@cache
def unknown_password() -> str:
    """Return what is kept of a password that nobody knows."""
    return hashed(secrets.token_urlsafe(32))
