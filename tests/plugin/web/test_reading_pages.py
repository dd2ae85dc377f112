"""The worklist and the study page over a real service, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect

from dicom_io.archives.orthanc import Orthanc
from plugin.delivery.delivery import deliver_to
from plugin.delivery.destinations import Destination
from plugin.delivery.outbox import Outbox
from plugin.web.access.gate import identify
from plugin.web.access.sessions import Role
from plugin.web.application import create_app
from plugin.web.dicomweb.routes import dicomweb_router
from plugin.web.dicomweb.stow import Storing
from plugin.web.reading.room import Room
from plugin.web.routes.reading import reading_routers
from tests.orthanc import RunningOrthanc
from tests.plugin.arrivals import PATIENCE
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward
from tests.plugin.web.chromium import BUILT, barriers, page_of, served
from tests.plugin.web.people import add_person
from tests.plugin.web.reading.conftest import Rooms, reading_room
from tests.plugin.web.reading.conftest import database_url as database_url

SENTENCE = "Small left pleural effusion."


@pytest.fixture
def rooms(chromium: Browser, ward: Ward) -> Rooms:
    return reading_room(ward)


@pytest.fixture
def address(rooms: Rooms) -> Iterator[str]:
    ended = threading.Event()
    news = threading.Thread(target=rooms.room.feed.run, args=(ended,))
    news.start()
    app = create_app(rooms.room.gate, routers(rooms.room), secure=False, built=BUILT)
    with served(app) as address:
        yield address
    ended.set()
    news.join()


def routers(room: Room) -> list[APIRouter]:
    """What the pages ask, and the images that they show."""
    archive, may = room.archive, [room.gate.allowed(Role.READER)]
    storing = Storing(archive.sessions, archive.spool, PATIENCE)
    images = dicomweb_router(archive, storing, identify, may_read=may, may_store=may)
    return [*reading_routers(room), images]


def test_a_new_study_comes_into_an_open_list(
    chromium: Browser, address: str, drafted: Callable[..., Ward]
) -> None:
    with page_of(chromium, address, "ann") as page:
        page.goto("/")
        expect(page.get_by_text("There are no such studies.")).to_be_visible()
        drafted(1)
        expect(page.get_by_role("row")).to_have_count(2, timeout=10_000)
        assert barriers(page) == []
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.url == f"{address}/study/1.2.0"


def test_a_report_goes_from_the_list_to_the_archive_by_keyboard(
    chromium: Browser,
    address: str,
    drafted: Callable[..., Ward],
    rooms: Rooms,
    orthanc: RunningOrthanc,
) -> None:
    drafted(1)
    with page_of(chromium, address, "ann") as page:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto("/")
        expect(page.get_by_role("row")).to_have_count(2)
        press(page, "j", "Enter")
        sentence = page.get_by_role("button", name=SENTENCE)
        expect(sentence).to_be_visible()
        assert barriers(page) == []
        while not sentence.evaluate("one => one === document.activeElement"):
            press(page, "j")
        press(page, "e")
        expect(page.get_by_role("textbox", name="Edit the sentence")).to_be_focused()
        press(page, "Home", "Control+ArrowRight", "Shift+End")
        page.keyboard.type(" right pleural effusion.")
        press(page, "Enter")
        expect(page.get_by_text("Saved", exact=True)).to_be_visible()
        assert "Small right pleural effusion." in saved(rooms.ann)
        press(page, "a")
        expect(page.get_by_role("dialog").get_by_role("button", name="Accept")).to_be_focused()
        assert barriers(page) == []
        press(page, "Enter")
        expect(page.get_by_text("Accepted by Ann")).to_be_visible()
        outbox = Outbox(rooms.service.sessions, rooms.service.spool.root)
        deliver_to(outbox, Destination("plain", Orthanc(orthanc.url)))
        deliver_to(outbox, Destination("strict", Orthanc(orthanc.url)))
        expect(page.get_by_text("Proved at the archive.")).to_be_visible(timeout=10_000)
        assert barriers(page) == []
        press(page, "u")
        page.get_by_role("button", name="Done").press("Enter")
        expect(page.get_by_role("cell", name="Accepted by Ann")).to_be_visible()
        # Slices of these studies are rows without files; what counts is that no policy was breached
        assert [text for text in complaints if "Content Security Policy" in text] == []


def test_nothing_that_was_typed_is_lost(
    chromium: Browser, address: str, drafted: Callable[..., Ward], rooms: Rooms
) -> None:
    drafted(1)
    add_person(rooms.service.sessions, "bea", "radiologist")
    with page_of(chromium, address, "bea") as page:
        write(page, "Seen by Bea.")
        page.close()
        # The browser was closed before anything was sent
        again = page.context.new_page()
        write(again, None)
        expect(again.get_by_label("Impression")).to_have_value("Seen by Bea.")
        expect(again.get_by_text("Saved", exact=True)).to_be_visible(timeout=20_000)
        # Ann saves while Bea types, and Bea's network is away
        again.context.set_offline(True)
        again.get_by_label("Impression").fill("Seen by Bea twice.")
        review = rooms.ann.get(REVIEW).json()
        theirs = [dict(one, text="Seen by Ann.") for one in review["sections"]]
        version = {"If-Match": str(review["version"])}
        assert rooms.ann.put(REVIEW, json={"sections": theirs}, headers=version).is_success
        again.context.set_offline(False)
        choice = again.get_by_role("dialog")
        expect(choice).to_contain_text("Ann changed this report meanwhile", timeout=20_000)
        assert barriers(again) == []
        choice.get_by_role("button", name="Put both together").click()
        expect(again.get_by_text("Saved", exact=True)).to_be_visible(timeout=20_000)
    assert {"Seen by Ann.", "Seen by Bea twice."} <= set(saved(rooms.ann).splitlines())


REVIEW = "/api/studies/1.2.0/review"


def write(page: Page, text: str | None) -> None:
    """Open the study as free text, and type an impression."""
    page.goto("/study/1.2.0")
    page.get_by_role("button", name="Free text").click()
    if text is not None:
        page.get_by_label("Impression").fill(text)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(reader: TestClient) -> str:
    return "\n".join(one["text"] for one in reader.get(REVIEW).json()["sections"])
