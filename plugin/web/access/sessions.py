"""People sign in by name and password, and stay for as long as they work."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache

from sqlalchemy import delete
from sqlalchemy.orm import joinedload

from plugin.state import audit
from plugin.state.audit import Action, Entry, Outcome, Who
from plugin.state.database import SessionFactory
from plugin.state.people import Person, SignIn
from plugin.web.access.passwords import hashed, matches
from plugin.web.dicomweb.problems import Refused

# A reader who goes for lunch signs in again; nobody stays for longer than a long shift
IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)
# Guessing at this rate takes years; a person who forgot a password waits a quarter of an hour
FAILURES, LOCKED = 10, timedelta(minutes=15)


class Role(StrEnum):
    """What a person may do; a person may have several."""

    READER = "reader"
    RADIOLOGIST = "radiologist"
    ADMINISTRATOR = "administrator"


def sign_in(
    sessions: SessionFactory, name: str, password: str, address: str, now: datetime
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

    Raises
    ------
    Refused
        They belong to nobody, or too many wrong passwords were typed.
    """
    with sessions() as session:
        person = session.get(Person, name)
        kept = person.password if person else _nobody()
    # Outside the transaction: it takes a while, and as long for a name that nobody has
    right = matches(password, kept)
    with sessions.begin() as session:
        person = session.get(Person, name, with_for_update=True)
        if person is not None and person.locked_until and now < person.locked_until:
            raise Refused(429, "locked", "too many wrong passwords: try again in 15 minutes")
        # A name that nobody has may be a password in the wrong field
        who = Who(kind="person", name=person.name if person else "unknown", address=address)
        outcome = Outcome.SUCCESS if person and right else Outcome.MINOR_FAILURE
        audit.record(session, Entry(action=Action.LOGIN, who=who, outcome=outcome), now=now)
        begun = _begin(person, now) if person and right else None
        if begun is not None:
            session.add(begun[1])
        elif person is not None:
            _count_failure(person, now)
    if begun is None:
        raise Refused(401, "wrong-password", "the name or the password is wrong")
    return begun


def current(sessions: SessionFactory, secret: str, now: datetime) -> SignIn | None:
    """Return the session of a cookie, which is used by this; None where there is none, or no more.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    secret : str
        The cookie.
    now : datetime
        The moment, in UTC.
    """
    with sessions(expire_on_commit=False) as session, session.begin():
        found = session.get(SignIn, _digest(secret), options=[joinedload(SignIn.person)])
        if found is None or now - found.used_at > IDLE or now - found.began_at > LONGEST:
            return None
        # Once a minute is enough; a page asks for hundreds of frames
        if now - found.used_at > timedelta(minutes=1):
            found.used_at = now
        return found


def sign_out(sessions: SessionFactory, secret: str) -> None:
    """End the session of a cookie, and forget those that are over."""
    over = datetime.now(UTC) - LONGEST
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


def _count_failure(person: Person, now: datetime) -> None:
    person.failures += 1
    if person.failures >= FAILURES:
        person.failures, person.locked_until = 0, now + LOCKED


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@cache
def _nobody() -> str:
    """The password of a name that nobody has."""
    return hashed(secrets.token_urlsafe(32))
