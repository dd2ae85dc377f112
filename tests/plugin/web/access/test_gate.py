"""Nobody passes the gate without a session, the role, and the token that only our page knows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from plugin.state.audit import AuditRow
from plugin.state.database import SessionFactory, connect, session_factory
from plugin.state.kept.people import Person, SignIn
from plugin.web.access.gate import COOKIE, CSRF_HEADER, Gate
from plugin.web.access.passwords import hashed
from plugin.web.access.sessions import Limits, Role, sign_in, sign_out
from plugin.web.access.strangers import Strangers
from plugin.web.dicomweb.problems import Refused, answer_refused

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PASSWORD = "correct horse"
KEPT = hashed(PASSWORD)
LIMITS = Limits()
STRANGERS = Strangers()


@pytest.fixture
def sessions(sqlite_template: Path, tmp_path: Path) -> Iterator[SessionFactory]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    factory = session_factory(engine)
    with factory.begin() as session:
        session.add(Person(name="ann", display_name="Ann", roles=["administrator"], password=KEPT))
    yield factory
    engine.dispose()


@pytest.fixture
def clock() -> list[datetime]:
    return [NOW]


@pytest.fixture
def client(sessions: SessionFactory, clock: list[datetime]) -> TestClient:
    gate = Gate(sessions, now=lambda: clock[0])
    app = FastAPI()
    app.add_exception_handler(Refused, answer_refused)
    for role in Role:
        app.get(f"/{role}", dependencies=[gate.allowed(role)])(lambda: "seen")
    app.post("/administrator", dependencies=[gate.allowed(Role.ADMINISTRATOR)])(lambda: "done")
    return TestClient(app)


def begin(sessions: SessionFactory, client: TestClient) -> SignIn:
    secret, begun = sign_in(sessions, "ann", PASSWORD, "192.0.2.1", NOW, LIMITS, STRANGERS)
    client.cookies.set(COOKIE, secret)
    return begun


@pytest.mark.parametrize("cookie", [None, "wrong"])
def test_nobody_passes_without_a_session(client: TestClient, cookie: str | None) -> None:
    if cookie:
        client.cookies.set(COOKIE, cookie)
    assert client.get("/reader").status_code == 401


def test_an_administrator_reads_and_does_not_review(
    sessions: SessionFactory, client: TestClient
) -> None:
    begin(sessions, client)
    answers = {role: client.get(f"/{role}").status_code for role in Role}
    assert answers == {Role.READER: 200, Role.RADIOLOGIST: 403, Role.ADMINISTRATOR: 200}


def test_a_change_needs_the_token_of_the_session(
    sessions: SessionFactory, client: TestClient
) -> None:
    csrf = begin(sessions, client).csrf
    assert client.post("/administrator").json()["code"] == "no-csrf-token"
    assert client.post("/administrator", headers={CSRF_HEADER: "wrong"}).status_code == 403
    assert client.post("/administrator", headers={CSRF_HEADER: csrf}).status_code == 200


def test_a_session_ends_when_idle(
    sessions: SessionFactory, client: TestClient, clock: list[datetime]
) -> None:
    begin(sessions, client)
    clock[0] += LIMITS.idle
    assert client.get("/reader").status_code == 200
    clock[0] += LIMITS.idle + timedelta(seconds=1)
    assert client.get("/reader").status_code == 401


def test_a_session_ends_after_a_long_shift_whatever_is_done(
    sessions: SessionFactory, client: TestClient, clock: list[datetime]
) -> None:
    begin(sessions, client)
    while clock[0] + LIMITS.idle <= NOW + LIMITS.longest:
        clock[0] += LIMITS.idle
        assert client.get("/reader").status_code == 200
    clock[0] += timedelta(seconds=1)
    assert client.get("/reader").status_code == 401


def test_who_asks_waits_for_nobody_who_writes(sessions: SessionFactory, client: TestClient) -> None:
    begin(sessions, client)
    with sessions.begin() as writing:
        writing.connection()  # who waited for its end would wait for a minute, and then fail
        assert client.get("/reader").status_code == 200


def test_who_signs_out_is_out(sessions: SessionFactory, client: TestClient) -> None:
    begin(sessions, client)
    sign_out(sessions, client.cookies[COOKIE], NOW, LIMITS)
    assert client.get("/reader").status_code == 401


def test_wrong_passwords_lock_a_name_for_a_while(
    sessions: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin.web.access.sessions.matches", lambda typed, _: typed == PASSWORD)
    assert refusals(sessions, "ann") == [(401, "wrong-password")] * 10 + [(429, "locked")]
    with pytest.raises(Refused, match="too many"):
        sign_in(sessions, "ann", PASSWORD, "192.0.2.1", NOW, LIMITS, STRANGERS)
    sign_in(sessions, "ann", PASSWORD, "192.0.2.1", NOW + LIMITS.locked, LIMITS, STRANGERS)


def test_no_refusal_tells_whether_a_name_exists(
    sessions: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin.web.access.sessions.matches", lambda typed, _: typed == PASSWORD)
    assert refusals(sessions, "nobody") == refusals(sessions, "ann")


def test_only_the_latest_strangers_are_remembered() -> None:
    strangers = Strangers()
    first = strangers.of("first")
    assert strangers.of("first") is first
    for number in range(10_000):
        strangers.of(str(number))
    assert strangers.of("first") is not first


def refusals(sessions: SessionFactory, name: str) -> list[tuple[int, str]]:
    """Guess one password more than is allowed; returns how each is refused."""
    found, strangers = [], Strangers()
    for _ in range(LIMITS.failures + 1):
        with pytest.raises(Refused) as refused:
            sign_in(sessions, name, "guess", "192.0.2.1", NOW, LIMITS, strangers)
        found.append((refused.value.status, refused.value.code))
    return found


def test_the_trail_knows_who_signed_in_and_not_what_strangers_typed(
    sessions: SessionFactory,
) -> None:
    sign_in(sessions, "ann", PASSWORD, "192.0.2.1", NOW, LIMITS, STRANGERS)
    with pytest.raises(Refused, match="is wrong"):
        sign_in(sessions, "a password", PASSWORD, "192.0.2.1", NOW, LIMITS, STRANGERS)
    with sessions() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.position))
        assert [row.entry.who.name for row in rows] == ["ann", "unknown"]


def test_neither_cookie_nor_password_is_in_the_database(sessions: SessionFactory) -> None:
    secret, begun = sign_in(sessions, "ann", PASSWORD, "192.0.2.1", NOW, LIMITS, STRANGERS)
    assert secret not in begun.digest
    assert KEPT.startswith("$argon2id$")
    assert PASSWORD not in KEPT
