"""People sign in and out over HTTP, and every answer tells browsers what to refuse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plugin.state.database import connect, session_factory
from plugin.state.kept.people import Person
from plugin.web.access.gate import COOKIE, CSRF_HEADER, Gate
from plugin.web.access.passwords import hashed
from plugin.web.application import create_app
from plugin.web.routes.session import Entrance

TYPED = {"name": "ann", "password": "correct horse"}


@pytest.fixture
def gate(sqlite_template: Path, tmp_path: Path) -> Iterator[Gate]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    sessions = session_factory(engine)
    with sessions.begin() as session:
        kept = hashed(TYPED["password"])
        session.add(Person(name="ann", display_name="Ann", roles=["reader"], password=kept))
    yield Gate(sessions)
    engine.dispose()


@pytest.fixture
def client(gate: Gate) -> TestClient:
    return TestClient(create_app(gate, secure=True), base_url="https://testserver")


def test_a_person_signs_in_and_out(client: TestClient) -> None:
    assert client.get("/api/session").json()["user"] is None
    begun = client.post("/api/session", json=TYPED)
    ann = {"name": "ann", "display_name": "Ann", "roles": ["reader"], "language": None}
    assert begun.json()["user"] == ann
    assert all(word in begun.headers["set-cookie"] for word in ("HttpOnly", "Secure", "lax"))
    assert client.get("/api/session").json() == begun.json()
    assert client.delete("/api/session").status_code == 403
    secret = client.cookies[COOKIE]
    headers = {CSRF_HEADER: begun.json()["csrf"]}
    assert client.delete("/api/session", headers=headers).status_code == 204
    client.cookies.set(COOKIE, secret)
    assert client.get("/api/session").json()["user"] is None


def test_a_person_keeps_a_language(client: TestClient) -> None:
    headers = {CSRF_HEADER: client.post("/api/session", json=TYPED).json()["csrf"]}
    put = partial(client.put, "/api/session/language", headers=headers)
    assert put(json={"language": "de"}).status_code == 204
    assert client.get("/api/session").json()["user"]["language"] == "de"
    assert put(json={"language": "<script>"}).status_code == 422


def test_this_machine_comes_without_login_where_that_is_wanted(gate: Gate) -> None:
    app = create_app(gate, secure=True, entrance=Entrance(without_login=True))
    browser = TestClient(app, base_url="https://testserver")
    begun = browser.get("/api/session").json()
    assert begun["user"]["roles"] == ["reader", "radiologist", "administrator"]
    assert browser.get("/api/session").json() == begun
    # Its cookie alone changes nothing: pages of other sites send it, too
    assert browser.delete("/api/session").status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/session", {**TYPED, "password": "guess"}, 401),
        ("POST", "/api/session", {"name": "ann", "password": ["correct horse"]}, 422),
        ("DELETE", "/api/session", None, 401),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/api/session", None, 405),
    ],
)
def test_every_error_has_one_shape_and_repeats_nothing(
    client: TestClient, method: str, path: str, body: object, status: int
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "code"}
    assert "horse" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
