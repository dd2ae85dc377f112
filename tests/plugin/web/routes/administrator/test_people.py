"""Administrators say who may come in, and each change is in the audit trail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from plugin.state.audit import AuditRow
from plugin.state.database import SessionFactory, connect, session_factory
from plugin.web.access.gate import Gate, identify
from plugin.web.access.sessions import Role
from plugin.web.access.tokens import Scope
from plugin.web.application import create_app
from plugin.web.routes.administrator.people import people_router
from tests.plugin.web.people import add_person, browser, refusal

USERS, TOKENS = "/api/admin/users", "/api/admin/tokens"
BOB = {"name": "bob", "roles": ["reader"], "password": "correct horse battery"}


@pytest.fixture
def sessions(sqlite_template: Path, tmp_path: Path) -> Iterator[SessionFactory]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    yield session_factory(engine)
    engine.dispose()


@pytest.fixture
def ann(sessions: SessionFactory) -> TestClient:
    add_person(sessions, "ann", "administrator")
    gate = Gate(sessions)
    may = [gate.allowed(Role.ADMINISTRATOR)]
    return browser(create_app(gate, [people_router(sessions, identify, may)], secure=False), "ann")


def test_users_are_added_changed_and_removed(ann: TestClient, sessions: SessionFactory) -> None:
    assert ann.post(USERS, json=BOB).status_code == 204
    assert refusal(ann.post(USERS, json=BOB)) == (409, "not-possible")
    roles = {"roles": ["radiologist", "reader"]}
    assert ann.put(f"{USERS}/bob/roles", json=roles).status_code == 204
    password = {"password": "another horse battery"}
    assert ann.put(f"{USERS}/bob/password", json=password).status_code == 204
    told = {"display_name": "bob", "locked_until": None, "directory": None}
    bob = {"name": "bob", "roles": ["reader", "radiologist"], **told}
    assert ann.get(USERS).json()["users"][1] == bob
    assert ann.delete(f"{USERS}/bob").status_code == 204
    assert refusal(ann.delete(f"{USERS}/bob")) == (404, "not-found")
    with sessions() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.position))
        entries = [row.entry for row in rows]
    assert [one.detail for one in entries] == [
        "user bob added as reader",
        "user bob is radiologist, reader from now on",
        "user bob got another password",
        "user bob removed",
    ]
    assert {one.who.name for one in entries} == {"ann"}


@pytest.mark.parametrize(
    "wrong", [{"password": "short"}, {"roles": []}, {"roles": ["king"]}, {"name": "a\x00b"}]
)
def test_what_is_not_allowed_is_refused(ann: TestClient, wrong: dict[str, object]) -> None:
    assert refusal(ann.post(USERS, json={**BOB, **wrong})) == (422, "invalid-request")
    assert len(ann.get(USERS).json()["users"]) == 1


def test_a_token_is_shown_once(ann: TestClient) -> None:
    new = {"name": "ohif", "scopes": [Scope.DICOMWEB_READ], "days": 3}
    token = ann.post(TOKENS, json=new).json()["token"]
    listed = ann.get(TOKENS)
    assert token.startswith("ctscribe_")
    assert token not in listed.text
    assert listed.json()["tokens"][0]["scopes"] == ["dicomweb-read"]
    assert refusal(ann.post(TOKENS, json=new)) == (409, "not-possible")
    assert ann.delete(f"{TOKENS}/ohif").status_code == 204
    assert refusal(ann.delete(f"{TOKENS}/ohif")) == (404, "not-found")
