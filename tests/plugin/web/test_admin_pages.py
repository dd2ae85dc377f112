"""An administrator walks through all pages, and mends what is broken, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, update

from plugin.settings import load_settings
from plugin.state.kept.refusals import TurnedAway
from plugin.state.tables import Delivery, DeliveryState, Draft, Job, JobState, Study
from plugin.web.access.gate import Gate, identify
from plugin.web.access.sessions import Role
from plugin.web.application import create_app
from plugin.web.routes.administrator.people import people_router
from plugin.web.routes.administrator.router import administration_router
from plugin.web.routes.office import Office
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward
from tests.plugin.web.chromium import BUILT, barriers, page_of, served
from tests.plugin.web.people import add_person
from tests.plugin.web.reading.conftest import database_url as database_url
from tests.plugin.web.routes.administrator.test_router import SETTINGS

PAGES = {
    "queue": "strict",
    "studies": "draft 1 (complete)",
    "deliveries": "the archive was full",
    "refusals": "its AE title is not in the allow-list",
    "disk": "% used",
    "rules": "Nothing is saved",
    "models": "trial",
    "people": "Ada",
    "audit": "trail read",
}
"""What each page shows of the service below."""


@pytest.fixture
def service(chromium: Browser, drafted: Callable[..., Ward]) -> Ward:
    """Two drafted studies; a delivery failed, and a sender was refused."""
    service = drafted(2)
    add_person(service.sessions, "ada", "administrator")
    away = TurnedAway()
    away.note("CT9", "192.0.2.1", "UnknownSender")
    away.flush(service.sessions)
    failed = {"state": DeliveryState.FAILED, "last_error": "the archive was full"}
    with service.sessions.begin() as session:
        session.execute(update(Delivery).where(Delivery.destination == "plain").values(failed))
    return service


@pytest.fixture
def address(service: Ward, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "ctscribe.toml"
    path.write_text(SETTINGS)
    gate = Gate(service.sessions)
    may = [gate.allowed(Role.ADMINISTRATOR)]
    office = Office(lambda: load_settings(path), service.sessions, service.spool, identify, may)
    routers = [administration_router(office), people_router(service.sessions, identify, may)]
    with served(create_app(gate, routers, secure=False, built=BUILT)) as address:
        yield address


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """Hers; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    with page_of(chromium, address, "ada") as page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else 0)
        yield page
    assert complaints == []


def test_every_page_shows_what_it_is_for_and_can_be_used_by_all(page: Page) -> None:
    page.goto("/admin/queue")
    for name, shown in PAGES.items():
        link = page.locator(f'.admin nav a[href="/admin/{name}"]')
        link.click()
        expect(link).to_have_attribute("aria-current", "page")
        expect(page.locator(".content")).to_contain_text(shown)
        assert barriers(page) == [], name


def test_what_is_broken_is_mended(page: Page, service: Ward) -> None:
    page.goto("/admin/deliveries")
    failed = page.get_by_role("row").filter(has_text="the archive was full")
    expect(failed).to_have_count(2)
    failed.first.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("row").filter(has_text="failed")).to_have_count(1)
    assert states(service, Delivery.destination == "plain") == {"failed", "pending"}

    page.goto("/admin/studies?study=1.2.0")
    page.get_by_role("button", name="Draft again").click()
    asked = page.get_by_role("dialog")
    asked.get_by_label("Reason, for the audit trail").fill("asked by phone")
    assert barriers(page) == []
    asked.get_by_role("button", name="Draft again").click()
    expect(page.locator(".timeline")).to_contain_text("a new draft was asked for")
    with service.sessions() as session:
        waiting = select(Job.id).join(Study).where(Job.state == JobState.PENDING)
        assert len(session.scalars(waiting.where(Study.study_instance_uid == "1.2.0")).all()) == 1


def test_a_draft_is_retracted_once_that_is_confirmed(page: Page, service: Ward) -> None:
    page.goto("/admin/studies?study=1.2.1")
    retract = page.locator(".one-study").get_by_role("button", name="Retract the draft")
    retract.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert taken_back(service) == 0
    retract.click()
    asked = page.get_by_role("dialog")
    assert barriers(page) == []
    asked.get_by_role("button", name="Retract the draft").click()
    expect(page.locator(".verdict")).to_contain_text("was retracted")
    expect(retract).to_be_disabled()
    assert taken_back(service) == 1


def states(service: Ward, *conditions: object) -> set[str]:
    with service.sessions() as session:
        return set(session.scalars(select(Delivery.state).where(*conditions)))  # type: ignore[arg-type]


def taken_back(service: Ward) -> int:
    with service.sessions() as session:
        return len(session.scalars(select(Draft).where(Draft.retraction_path.is_not(None))).all())
