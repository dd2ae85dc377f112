"""People sign in on the built page, under the policy that the server sends, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from plugin.state.database import connect, session_factory
from plugin.state.kept.people import Person
from plugin.web.access.gate import Gate
from plugin.web.access.passwords import hashed
from plugin.web.application import create_app
from tests.plugin.web.chromium import BUILT, barriers, page_of, served

PASSWORD = "correct horse"


@pytest.fixture
def address(chromium: Browser, sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    sessions = session_factory(engine)
    with sessions.begin() as session:
        kept = hashed(PASSWORD)
        session.add(Person(name="ann", display_name="Ann", roles=["reader"], password=kept))
    with served(create_app(Gate(sessions), secure=False, built=BUILT)) as address:
        yield address
    engine.dispose()


def test_a_person_signs_in_by_keyboard(chromium: Browser, address: str) -> None:
    with page_of(chromium, address) as page:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto("/admin/none")
        expect(page.get_by_label("Name")).to_be_focused()
        type_and_send(page, "guess")
        expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
        # The browser itself tells of the refused password; a breach of the policy would too
        assert [text for text in complaints if "401" not in text] == []
        page.get_by_label("Name").focus()
        type_and_send(page, PASSWORD)
        expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)
        assert page.url == f"{address}/admin/none"


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_the_page_is_accessible(chromium: Browser, address: str, locale: str) -> None:
    with page_of(chromium, address, locale=locale) as page:
        page.goto("/")
        expect(page.get_by_role("button")).to_be_visible()
        assert page.evaluate("() => document.documentElement.lang") == locale[:2]
        assert barriers(page) == []


def type_and_send(page: Page, password: str) -> None:
    page.keyboard.press("Control+A")
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
