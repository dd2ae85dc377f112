"""The tab of earlier studies in a real browser, with a real archive and with none that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect

from dicom_io.archives.orthanc import Orthanc
from plugin.web.access.gate import identify
from plugin.web.access.sessions import Role
from plugin.web.application import create_app
from plugin.web.beside.archived import ArchivedPriors
from plugin.web.beside.routes import beside_router
from plugin.web.routes.reading import reading_routers
from tests.orthanc import RunningOrthanc
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward
from tests.plugin.web.beside.test_archived import write
from tests.plugin.web.chromium import BUILT, barriers, page_of, served
from tests.plugin.web.reading.conftest import database_url as database_url
from tests.plugin.web.reading.conftest import reading_room
from tests.ports import free_port

# A machine may be busy with other tests
PATIENT_MS = 60_000


@contextmanager
def tab(chromium: Browser, service: Ward, url: str) -> Iterator[Page]:
    """The tab of study 1.2.0, where an Orthanc at `url` is the archive."""
    room = reading_room(service).room
    elsewhere = ArchivedPriors("PACS", Orthanc(url))
    beside = beside_router(room.archive, identify, [room.gate.allowed(Role.READER)], elsewhere)
    app = create_app(room.gate, [*reading_routers(room), beside], secure=False, built=BUILT)
    ended = threading.Event()
    news = threading.Thread(target=room.feed.run, args=(ended,))
    news.start()
    try:
        with served(app) as address, page_of(chromium, address, "ann") as page:
            page.goto("/study/1.2.0")
            page.get_by_role("tab", name="Earlier studies").click(timeout=PATIENT_MS)
            yield page
    finally:
        ended.set()
        news.join()


def test_studies_of_the_archive_stand_beside_received_ones(
    chromium: Browser, drafted: Callable[..., Ward], orthanc: RunningOrthanc
) -> None:
    hostile = "<img src=x onerror=alert(1)> CT"
    orthanc.upload(write("1.9.7", "Nodule of 6 mm.", StudyDescription=hostile))
    orthanc.upload(write("1.2.1", "No nodule.", StudyDescription="CT chest"))
    orthanc.upload(write("1.9.8", "Not hers.", PatientName="Roe^Richard"))
    with tab(chromium, drafted(2), orthanc.url) as page:
        panel = page.locator("#panel-priors")
        expect(panel.get_by_text("Not shown: 1 in the archive")).to_be_visible(timeout=PATIENT_MS)
        cards = panel.get_by_role("article")
        expect(cards).to_have_count(2)
        # The latest first; one that is here and there has one row
        expect(cards.nth(0)).to_contain_text("Received here · In the archive PACS")
        expect(cards.nth(1)).to_contain_text(f"4 Mar 2024 · SR · {hostile}")
        cards.nth(1).get_by_text("Reports in PACS").click()
        expect(cards.nth(1)).to_contain_text("Nodule of 6 mm.", timeout=PATIENT_MS)
        expect(cards.nth(1)).to_contain_text("Signed · 5 Mar 2024")
        expect(panel).not_to_contain_text("Roe")
        assert barriers(page) == []


def test_received_studies_are_shown_where_the_archive_is_down(
    chromium: Browser, drafted: Callable[..., Ward]
) -> None:
    with tab(chromium, drafted(2), f"http://127.0.0.1:{free_port()}") as page:
        panel = page.locator("#panel-priors")
        silent = "The archive does not answer in time."
        expect(panel.get_by_text(silent)).to_be_visible(timeout=PATIENT_MS)
        expect(panel.get_by_role("article")).to_have_count(1)
        expect(panel.get_by_role("button", name="Ask again")).to_be_visible()
        assert barriers(page) == []
