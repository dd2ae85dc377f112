"""People sign in on the built page, under the policy that the server sends, in a real browser."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from plugin.state.database import connect, session_factory
from plugin.state.people import Person
from plugin.web.access.gate import Gate
from plugin.web.access.passwords import hashed
from plugin.web.application import create_app
from tests.repository import ROOT
from tests.services import require
from tests.waiting import eventually

BUILT = ROOT / "plugin" / "web" / "static"
AXE = ROOT / "plugin" / "web" / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "correct horse"


@pytest.fixture
def address(sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    require((BUILT / "index.html").is_file() and AXE.is_file(), "what `make ui` builds")
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    sessions = session_factory(engine)
    with sessions.begin() as session:
        kept = hashed(PASSWORD)
        session.add(Person(name="ann", display_name="Ann", roles=["reader"], password=kept))
    app = create_app(Gate(sessions), secure=False, built=BUILT)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    engine.dispose()


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    require(chromium is not None, "chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


def test_a_person_signs_in_by_keyboard(browser: Browser, address: str) -> None:
    page = browser.new_page(locale="en-GB")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{address}/study/1.2.3")
    expect(page.get_by_label("Name")).to_be_focused()
    type_and_send(page, "guess")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    page.get_by_label("Name").focus()
    type_and_send(page, PASSWORD)
    expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)
    assert page.url == f"{address}/study/1.2.3"
    # The browser itself tells of the refused password; a breach of the policy would stand beside
    assert [text for text in complaints if "401" not in text] == []


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_the_page_is_accessible(browser: Browser, address: str, locale: str) -> None:
    page = browser.new_page(locale=locale)
    page.goto(address)
    expect(page.get_by_role("button")).to_be_visible()
    assert page.evaluate("() => document.documentElement.lang") == locale[:2]
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations.map(one => one.id)")
    assert found == []


def type_and_send(page: Page, password: str) -> None:
    page.keyboard.press("Control+A")
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
