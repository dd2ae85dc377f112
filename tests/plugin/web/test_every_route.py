"""Nothing of the reading room is reachable without a role, and no request breaks it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Mount
from starlette.testclient import TestClient

from plugin.sections.web import Directory, Web
from plugin.settings import Settings, Storage
from plugin.state.audit import Who
from plugin.state.database import connect, session_factory
from plugin.state.kept.people import Person
from plugin.state.running.bell import Bell
from plugin.web.access.gate import COOKIE, CSRF_HEADER, utc_now
from plugin.web.access.passwords import hashed
from plugin.web.access.sessions import Limits, Role, sign_in
from plugin.web.access.strangers import Strangers
from plugin.web.access.tokens import Scope, Tokens
from plugin.web.serving import Served

PASSWORD = "correct horse battery"
# What a person without a session may ask: whether there is one, and for one
OPEN = {
    ("get", "/api/session"),
    ("post", "/api/session"),
    ("get", "/api/session/oidc/{provider}"),
    ("get", "/api/session/oidc/{provider}/callback"),
    ("get", "/study"),
}
DIRECTORY = Directory(
    id="house", title="House", issuer="http://127.0.0.1:1", client_id="us", roles={"reader": ("a",)}
)


class House(NamedTuple):
    """A service with a person for each role, and one of all."""

    app: FastAPI
    cookies: dict[str, dict[str, str]]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, folder / 'ctscribe.db')}")
    sessions, kept, cookies = session_factory(engine), hashed(PASSWORD), {}
    for name, roles in (
        *((str(role), [str(role)]) for role in Role),
        ("all", list(map(str, Role))),
    ):
        with sessions.begin() as session:
            session.add(Person(name=name, display_name=name, roles=roles, password=kept))
        typed = name, PASSWORD, "192.0.2.1"
        secret, begun = sign_in(sessions, *typed, utc_now(), Limits(), Strangers())
        cookies[name] = {"Cookie": f"{COOKIE}={secret}", CSRF_HEADER: begun.csrf}
    making = Tokens(sessions, Who(kind="person", name="ann"))
    tokens = {str(scope): making.make(str(scope), [scope], 1) for scope in Scope}
    storage = Storage(spool=folder / "spool", floor_mb=0)
    chosen = Settings(storage=storage, web=Web(oidc=(DIRECTORY,)))
    with closing(Bell(engine)) as bell:
        served = Served(chosen, None, sessions, bell)
        with served.running():
            yield House(served.app, cookies, tokens)
    engine.dispose()


def operations(app: FastAPI) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def routes(given: Iterable[Any]) -> Iterator[APIRoute]:
    for one in given:
        if isinstance(one, APIRoute):
            yield one
        elif not isinstance(one, Mount):  # of the built pages, which anybody may see
            # FastAPI's own, of a router that was included
            yield from routes(one.original_router.routes)


def ask(house: House, method: str, path: str, headers: dict[str, str]) -> int:
    client = TestClient(house.app, headers=headers)
    filled = path.replace("{", "").replace("}", "")
    return client.request(method, filled, json={}).status_code


def test_the_description_has_every_route(house: House) -> None:
    found = list(routes(house.app.routes))
    assert all(one.include_in_schema for one in found)
    assert len(operations(house.app)) == sum(len(one.methods) for one in found) > 40


def test_nothing_answers_a_stranger(house: House) -> None:
    wrong = {"Cookie": f"{COOKIE}=wrong"}, {"Authorization": "Bearer ctscribe_wrong"}
    for headers in ({}, *wrong):
        answers = {one: ask(house, *one, headers) for one in operations(house.app)}
        assert {one for one, status in answers.items() if status != 401} <= OPEN


def test_readers_change_nothing_and_nobody_decides_for_a_radiologist(house: House) -> None:
    for method, path in operations(house.app):
        if path == "/api/session":  # who ends it is signed out
            continue
        administers = path.startswith("/api/admin") or path.startswith("/dicom-web")
        refused = {
            name
            for name in Role
            if method != "get" or path.startswith("/api/admin")
            if ask(house, method, path, house.cookies[name]) == 403
        }
        if path.startswith("/api/admin") or (administers and method == "post"):
            assert refused == {Role.READER, Role.RADIOLOGIST}, (method, path)
        elif "/review" in path and method != "get":
            assert refused == {Role.READER, Role.ADMINISTRATOR}, (method, path)
        else:
            assert refused == set(), (method, path)


def test_a_token_is_for_what_its_scope_says(house: House) -> None:
    for method, path in operations(house.app):
        if (method, path) in OPEN or path == "/api/events":
            continue
        let_in = {
            name
            for name, token in house.tokens.items()
            if ask(house, method, path, {"Authorization": f"Bearer {token}"}) != 403
        }
        if path.startswith("/dicom-web"):
            assert let_in == {"dicomweb-read" if method == "get" else "dicomweb-write"}, path
        elif path.startswith(("/api/admin/users", "/api/admin/tokens")):
            assert not let_in, path
        elif path.startswith("/api/admin"):
            assert let_in == {"administration"}, path
        elif path == "/api/links":
            assert let_in == {"links"}
        else:
            assert let_in <= {"reading"}, path
            assert method == "get" or not let_in, path


def test_what_changes_something_wants_more_than_a_cookie(house: House) -> None:
    headers = {"Cookie": house.cookies["all"]["Cookie"]}
    changing = [one for one in operations(house.app) if one[0] != "get" and one not in OPEN]
    assert {ask(house, *one, headers) for one in changing} == {403}


# An endless stream, and what ends the session that all requests are made in
_NOT_TRIED = {"/api/events", "/api/session"}
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_no_request_breaks_it(house: House) -> None:
    headers = house.cookies["all"]
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", house.app, headers=headers)
    tried = [one.ok() for one in schema.get_all_operations() if one.ok().path not in _NOT_TRIED]
    assert len(tried) > 40
    for operation in tried:

        @settings(
            max_examples=10,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=_CHECKS)

        send()
