"""An administrator lets somebody in on the built page, and makes a token, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from plugin.state.database import connect, session_factory
from plugin.web.access.gate import Gate, identify
from plugin.web.access.sessions import Role
from plugin.web.application import create_app
from plugin.web.routes.administrator.people import people_router
from tests.plugin.web.chromium import BUILT, barriers, page_of, served
from tests.plugin.web.people import add_person

PASSWORD = "correct horse battery"


@pytest.fixture
def address(chromium: Browser, sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    sessions = session_factory(engine)
    add_person(sessions, "ann", "administrator")
    gate = Gate(sessions)
    routers = [people_router(sessions, identify, [gate.allowed(Role.ADMINISTRATOR)])]
    with served(create_app(gate, routers, secure=False, built=BUILT)) as address:
        yield address
    engine.dispose()


def test_an_administrator_lets_somebody_in(chromium: Browser, address: str) -> None:
    with page_of(chromium, address, "ann") as page:
        page.goto("/admin/people")
        page.get_by_role("button", name="Add a user").click()
        page.get_by_label("Name", exact=True).fill("bob")
        page.get_by_label("New password").fill(PASSWORD)
        page.get_by_label("Radiologist").check()
        assert barriers(page) == []
        page.keyboard.press("Enter")
        expect(page.get_by_role("row").filter(has_text="Reader, Radiologist")).to_be_visible()
        page.get_by_role("button", name="Make a token").click()
        page.get_by_label("Program", exact=True).fill("ohif")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog")).to_be_visible()  # nothing that it may is chosen yet
        page.get_by_label("read by DICOMweb").check()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("ctscribe_")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("row").filter(has_text="ohif")).to_be_visible()
        assert barriers(page) == []
    with page_of(chromium, address) as page:
        page.goto("/")
        page.get_by_label("Name").fill("bob")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)
