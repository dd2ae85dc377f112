"""A RIS opens a study: by a session, after signing in, or by a link that it had signed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from plugin.state.audit import Action, AuditRow, Who
from plugin.state.database import SessionFactory, connect, session_factory
from plugin.state.kept.people import Person
from plugin.state.tables import Study
from plugin.web.access.gate import COOKIE, CSRF_HEADER, Gate
from plugin.web.access.sessions import let_in
from plugin.web.access.tokens import Scope, Tokens
from plugin.web.application import create_app
from plugin.web.routes.launch import launch_router

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PEOPLE = {"ann": ["radiologist"], "ada": ["administrator", "reader"]}


@pytest.fixture
def sessions(sqlite_template: Path, tmp_path: Path) -> Iterator[SessionFactory]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    factory = session_factory(engine)
    with factory.begin() as session:
        for name, roles in PEOPLE.items():
            session.add(Person(name=name, display_name=name, roles=roles, password="x"))
        study = Study(study_instance_uid="1.2", accession_number="A1", first_received_at=NOW)
        study.last_received_at = NOW
        session.add(study)
    yield factory
    engine.dispose()


@pytest.fixture
def clock() -> list[datetime]:
    return [datetime.now(UTC)]


@pytest.fixture
def client(sessions: SessionFactory, clock: list[datetime]) -> TestClient:
    gate = Gate(sessions, now=lambda: clock[0])
    router = launch_router(gate, b"s" * 32, "https://room.example", secure=False)
    app = create_app(gate, [router], secure=False)
    return TestClient(app, follow_redirects=False)


@pytest.fixture
def link(client: TestClient, sessions: SessionFactory) -> Callable[[str], str]:
    """What the RIS is given for a person."""
    token = Tokens(sessions, Who(kind="person", name="ada")).make("ris", [Scope.LINKS], 1)

    def link(reader: str) -> str:
        wanted = {"accession": "A1", "reader": reader}
        headers = {"Authorization": f"Bearer {token}"}
        told = client.post("/api/links", json=wanted, headers=headers)
        assert told.status_code == 200, told.text
        url = str(told.json()["url"])
        assert url.startswith("https://room.example/study?")
        return url.removeprefix("https://room.example")

    return link


def test_whoever_is_signed_in_comes_to_the_study(
    client: TestClient, sessions: SessionFactory, clock: list[datetime]
) -> None:
    secret = let_in(sessions, lambda session: session.get_one(Person, "ann"), "", clock[0])
    client.cookies.set(COOKIE, secret)
    assert client.get("/study?accession=A1").headers["location"] == "/study/1.2"
    assert client.get("/study?accession=A9").headers["location"] == "/?view=all&search=A9"


def test_others_sign_in_first_and_learn_nothing(client: TestClient) -> None:
    for accession in ("A1", "A9"):
        answer = client.get("/study", params={"accession": accession})
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/sign-in?accession={accession}",
        )


def test_a_signed_link_lets_its_reader_in(
    client: TestClient, sessions: SessionFactory, link: Callable[[str], str]
) -> None:
    answer = client.get(link("ann"))
    assert answer.headers["location"] == "/study/1.2"
    assert client.get("/api/session").json()["user"]["name"] == "ann"
    with sessions() as session:
        entries = [row.entry for row in session.scalars(select(AuditRow))]
    told = [(one.who.name, one.action) for one in entries][-2:]
    assert told == [("token ris", Action.ASKED), ("ann", Action.LOGIN)]


def test_a_link_that_is_over_or_changed_lets_nobody_in(
    client: TestClient, clock: list[datetime], link: Callable[[str], str]
) -> None:
    changed = client.get(link("ann").replace("reader=ann", "reader=ada"))
    assert changed.headers["location"] == "/sign-in?accession=A1&problem=bad-link"
    late = link("ann")
    clock[0] += timedelta(seconds=121)
    assert client.get(late).headers["location"] == "/sign-in?accession=A1&problem=link-over"
    assert client.get("/api/session").json()["user"] is None


@pytest.mark.parametrize(("reader", "status"), [("ada", 409), ("nobody", 404), (None, 404)])
def test_no_link_is_signed_for_administrators_and_strangers(
    client: TestClient, sessions: SessionFactory, reader: str | None, status: int
) -> None:
    token = Tokens(sessions, Who(kind="person", name="ada")).make("ris", [Scope.LINKS], 1)
    wanted = {"accession": "A1", "reader": reader}
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/api/links", json=wanted, headers=headers).status_code == status


def test_a_person_signs_links_for_themselves_only(
    client: TestClient, sessions: SessionFactory, clock: list[datetime]
) -> None:
    secret = let_in(sessions, lambda session: session.get_one(Person, "ann"), "", clock[0])
    client.cookies.set(COOKIE, secret)
    csrf = client.get("/api/session").json()["csrf"]
    wanted = {"accession": "A1", "reader": "ada"}
    told = client.post("/api/links", json=wanted, headers={CSRF_HEADER: csrf}).json()
    assert parse_qs(urlsplit(told["url"]).query)["reader"] == ["ann"]
