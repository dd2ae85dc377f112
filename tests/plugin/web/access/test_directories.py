"""People come from a directory, a real provider of OpenID Connect, and have the roles it says."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from pydantic import ValidationError

from plugin.commands.doctor.finding import Finding
from plugin.commands.doctor.peers import check_directories
from plugin.sections.web import Directory as Settings
from plugin.sections.web import Web
from plugin.settings import Settings as Service
from plugin.state.database import SessionFactory, connect, session_factory
from plugin.web.access.directories import Directory, keep_pending, vouched
from plugin.web.access.gate import Gate
from plugin.web.application import create_app
from plugin.web.dicomweb.problems import Refused
from plugin.web.routes.directories import directories_router
from plugin.web.routes.session import Entrance
from tests.plugin.web.chromium import BUILT, page_of, served
from tests.plugin.web.people import add_person

with warnings.catch_warnings():
    # The provider is older than the library that it stands on
    warnings.filterwarnings("ignore", "authlib.jose module is deprecated")
    from oidc_provider_mock import User, run_server_in_thread

pytestmark = pytest.mark.filterwarnings(r"ignore:get_jwt_config\(self, grant\):DeprecationWarning")
READER = {"preferred_username": "ann", "name": "Ann Example", "groups": ["ct-readers"]}
ROLES = {"reader": ("ct-readers",), "radiologist": ("ct-radiologists",)}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    users = [
        User(sub="1", claims=READER),
        User(sub="2", claims={**READER, "groups": ["kitchen"], "preferred_username": "bob"}),
        User(sub="3", claims={**READER, "preferred_username": "ann"}),
    ]
    with run_server_in_thread(user_claims=users, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRECTORY_SECRET", "of the client")


@pytest.fixture
def sessions(sqlite_template: Path, tmp_path: Path) -> Iterator[SessionFactory]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    yield session_factory(engine)
    engine.dispose()


@pytest.fixture
def browser(issuer: str, sessions: SessionFactory) -> TestClient:
    return TestClient(application(sessions, issuer), follow_redirects=False)


def application(
    sessions: SessionFactory, issuer: str, built: Path | None = None, **others: Any
) -> FastAPI:
    gate = Gate(sessions)
    directory = Directory(settings(issuer, **others))
    router = directories_router(gate, [directory], None, secure=False)
    entrance = Entrance(providers=((directory.id, directory.title),))
    app = create_app(gate, [router], secure=False, entrance=entrance, built=built)
    keep_pending(app, secure=False)
    return app


def settings(issuer: str, **others: Any) -> Settings:
    known: dict[str, Any] = {
        "id": "house",
        "title": "House",
        "client_id": "ctscribe",
        "roles": ROLES,
    }
    known["secret_env"] = "DIRECTORY_SECRET"
    return Settings.model_validate({**known, "issuer": issuer, **others})


def sent_to(browser: TestClient, page: str = "/study/1.2") -> str:
    answer = browser.get("/api/session/oidc/house", params={"next": page})
    assert answer.status_code == 302
    return answer.headers["location"]


def arrived(browser: TestClient, subject: str) -> httpx.Response:
    """What the browser meets after somebody has signed in at the directory."""
    back = httpx.post(sent_to(browser), data={"sub": subject}).headers["location"]
    return browser.get(back)


def test_who_signs_in_at_the_directory_is_in(browser: TestClient) -> None:
    asked = parse_qs(urlsplit(sent_to(browser)).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    answer = arrived(browser, "1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/study/1.2")
    assert browser.get("/api/session").json()["user"] == {
        "name": "ann",
        "display_name": "Ann Example",
        "roles": ["reader"],
        "language": None,
    }


@pytest.mark.parametrize(("subject", "problem"), [("2", "no-role"), ("3", "name-taken")])
def test_who_has_no_role_or_the_name_of_another_is_not(
    browser: TestClient, sessions: SessionFactory, subject: str, problem: str
) -> None:
    add_person(sessions, "ann", "administrator")
    answer = arrived(browser, subject)
    assert answer.headers["location"] == f"/sign-in?problem={problem}"
    assert browser.get("/api/session").json()["user"] is None


def test_roles_are_those_of_the_latest_sign_in(
    browser: TestClient, sessions: SessionFactory, issuer: str
) -> None:
    arrived(browser, "1")
    others = {"roles": {"radiologist": ["ct-readers"]}}
    again = TestClient(application(sessions, issuer, **others), follow_redirects=False)
    arrived(again, "1")
    assert again.get("/api/session").json()["user"]["roles"] == ["radiologist"]
    assert browser.get("/api/session").json()["user"]["roles"] == ["radiologist"]


def test_nobody_comes_in_on_the_way_of_another(
    browser: TestClient, sessions: SessionFactory, issuer: str
) -> None:
    back = httpx.post(sent_to(browser), data={"sub": "1"}).headers["location"]
    stranger = TestClient(browser.app, follow_redirects=False)
    answer = stranger.get(back)
    assert answer.headers["location"] == "/sign-in?problem=directory-failed"
    assert browser.get(back).headers["location"] == "/study/1.2"
    # The way is of use once
    assert browser.get(back).headers["location"] == "/sign-in?problem=directory-failed"


def test_the_study_that_a_ris_wanted_is_not_forgotten(browser: TestClient) -> None:
    wanted = "/study?accession=A%26+1"
    back = httpx.post(sent_to(browser, wanted), data={"sub": "1"}).headers["location"]
    assert browser.get(back).headers["location"] == wanted
    # Whoever is not let in is told, and may sign in to the same study otherwise
    sent_to(browser, wanted)
    failed = browser.get(back).headers["location"]
    assert failed == "/sign-in?problem=directory-failed&accession=A%26+1"


def test_a_directory_that_is_away_is_told(sessions: SessionFactory) -> None:
    browser = TestClient(application(sessions, "http://127.0.0.1:1"), follow_redirects=False)
    answer = browser.get("/api/session/oidc/house")
    assert answer.headers["location"] == "/sign-in?problem=directory-failed"


def test_doctor_asks_a_directory(issuer: str) -> None:
    def found(issuer: str, **others: Any) -> Finding:
        directory = settings(issuer, **others)
        return next(check_directories(Service(web=Web(oidc=(directory,)))))

    assert found(issuer).ok
    other = FastAPI()
    description = "/.well-known/openid-configuration"
    other.get(description)(lambda: {"issuer": "https://other.example"})
    with served(other) as address:
        assert "another name" in found(address).detail
    assert "no description: ConnectError" in found("http://127.0.0.1:1").detail
    assert "NO_SUCH must hold a secret" in found(issuer, secret_env="NO_SUCH").detail


def test_only_pages_of_ours_come_next(browser: TestClient) -> None:
    for page in ("https://evil.example", "//evil.example", "/\\evil.example", "study"):
        answer = browser.get("/api/session/oidc/house", params={"next": page})
        assert answer.status_code == 422
    assert browser.get("/api/session/oidc/other").status_code == 404


@pytest.mark.parametrize(
    ("claim", "claims", "roles"),
    [
        ("groups", {"groups": "ct-readers"}, ("reader",)),
        ("realm.roles", {"realm": {"roles": ["ct-radiologists", 7]}}, ("radiologist",)),
        ("realm.roles", {"realm": "ct-readers"}, ()),
        ("groups", {"groups": None}, ()),
        ("groups", {}, ()),
    ],
)
def test_groups_stand_in_the_claim_that_the_settings_name(
    claim: str, claims: dict[str, Any], roles: tuple[str, ...]
) -> None:
    chosen = settings("https://directory.example", roles_claim=claim)
    if roles:
        assert vouched(chosen, {"sub": "1", **claims}).roles == roles
    else:
        with pytest.raises(Refused, match="no role here"):
            vouched(chosen, {"sub": "1", **claims})


def test_a_directory_is_asked_by_https() -> None:
    with pytest.raises(ValidationError, match="asked by https"):
        settings("http://directory.example")


def test_no_other_machine_comes_without_login() -> None:
    tls = {"certificate": "a.pem"}
    url = "https://reading.example.org"
    with pytest.raises(ValidationError, match="loopback host without proxies"):
        Web(host="0.0.0.0", public_url=url, tls=tls, loopback_without_login=True)
    with pytest.raises(ValidationError, match="loopback host without proxies"):
        Web(proxies=("10.0.0.1",), loopback_without_login=True)


def test_a_browser_goes_to_the_directory_and_comes_back(
    chromium: Browser, sessions: SessionFactory, issuer: str
) -> None:
    app = application(sessions, issuer, built=BUILT)
    # To the browser, localhost and 127.0.0.1 are different sites, as a directory's is
    with served(app) as address, page_of(chromium, address) as page:
        page.goto("/admin/none")
        page.get_by_role("link", name="House").click()
        page.get_by_role("button", name="2").click()
        expect(page.get_by_role("alert")).to_contain_text("gives you no role here")
        page.goto("/admin/none")
        page.get_by_role("link", name="House").click()
        page.get_by_role("button", name="1").first.click()
        expect(page.get_by_text("Ann Example")).to_be_visible()
        assert page.url == f"{address}/admin/none"
    # A RIS has opened a study for somebody who has not signed in yet
    with served(app) as address, page_of(chromium, address) as page:
        page.goto("/sign-in?accession=A1")
        page.get_by_role("link", name="House").click()
        page.get_by_role("button", name="1").first.click()
        page.wait_for_url(f"{address}/study?accession=A1")
