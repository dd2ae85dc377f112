"""The worklist and the study page over a real service, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from plugin.web.application import create_app
from plugin.web.routes.reading import reading_routers
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward
from tests.plugin.web.chromium import BUILT, barriers, page_of, served
from tests.plugin.web.reading.conftest import Rooms, reading_room
from tests.plugin.web.reading.conftest import database_url as database_url


@pytest.fixture
def rooms(chromium: Browser, ward: Ward) -> Rooms:
    return reading_room(ward)


@pytest.fixture
def address(rooms: Rooms) -> Iterator[str]:
    ended = threading.Event()
    news = threading.Thread(target=rooms.room.feed.run, args=(ended,))
    news.start()
    app = create_app(rooms.room.gate, reading_routers(rooms.room), secure=False, built=BUILT)
    with served(app) as address:
        yield address
    ended.set()
    news.join()


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
