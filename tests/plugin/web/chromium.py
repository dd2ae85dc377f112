"""The built pages in a real browser, under the policy that the server sends."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from plugin.web.access.gate import COOKIE
from tests.repository import ROOT
from tests.services import require
from tests.waiting import eventually

BUILT = ROOT / "plugin" / "web" / "static"
# A page that shows a thing after 5 s is slow, and not wrong: machines that test are busy
expect.set_options(timeout=30_000)
_AXE = ROOT / "plugin" / "web" / "ui" / "node_modules" / "axe-core" / "axe.min.js"


# Not of the session: while it lives, its event loop stands in the way of tests that run their own
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a module; each opens pages of its own."""
    require((BUILT / "index.html").is_file() and _AXE.is_file(), "what `make ui` builds")
    found = shutil.which("chromium")
    require(found is not None, "chromium")
    expect.set_options(timeout=30_000)  # five seconds are too few on a machine with other work
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port; yields its address."""
    # Pages that are still open hold a stream of events
    config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def page_of(
    browser: Browser, address: str, person: str | None = None, locale: str = "en-GB"
) -> Iterator[Page]:
    """A page of somebody whose session is open (see `add_person`), or of nobody."""
    with browser.new_context(locale=locale, base_url=address) as context:
        if person is not None:
            context.add_cookies([{"name": COOKIE, "value": person, "url": address}])
        yield context.new_page()


def barriers(page: Page) -> list[str]:
    """What keeps people from using a page, as axe names it."""
    page.evaluate(_AXE.read_text("utf-8"))
    found: list[str] = page.evaluate(
        "async () => (await axe.run()).violations.map(one => one.id + ' ' + one.nodes[0].html)"
    )
    return found
