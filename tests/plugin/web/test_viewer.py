"""The viewer in a browser under the server's policy: what is on the screen, not what events say."""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.dicom_io.volume.test_multiframe import enhanced, frame
from tests.plugin.web.chromium import page_of
from tests.plugin.web.slices import AXES, Clinic, as_file, draft_of, opened, series, shows
from tests.plugin.web.slices import clinic as clinic

GREYS = """([x, y]) => {
  const canvas = document.querySelector('[data-pane] canvas');
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  copy.drawImage(canvas, 0, 0);
  return [...copy.getImageData(x * canvas.width, y * canvas.height, 1, 1).data].slice(0, 3);
}"""

# A frame in JPEG 2000 part 2, for which the loader has no decoder
JPX = (
    b"--b\r\nContent-Type: image/jpx; transfer-syntax=1.2.840.10008.1.2.4.92\r\n\r\n?\r\n--b--\r\n"
)


def until(page: Page, script: str, wanted: str, at: Any = None) -> None:
    page.wait_for_function(f"(at) => {{ const is = ({script})(at); return {wanted}; }}", arg=at)


@pytest.mark.parametrize("syntax", [None, JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_pixels_are_those_of_the_image(
    chromium: Browser, clinic: Clinic, syntax: str | None
) -> None:
    with opened(chromium, clinic, series(syntax=syntax)) as page:
        # Soft tissue: -160 is black and 240 white
        for across, hu in ((0.4, 0), (0.6, 200)):
            grey = round((hu + 160) / 400 * 255)
            until(page, GREYS, f"is.every((one) => Math.abs(one - {grey}) < 4)", [across, 0.5])
        page.keyboard.press("1")  # lung: -1350 to 150
        until(page, GREYS, "is.every((one) => one === 255)", [0.6, 0.5])


def test_the_servers_image_is_there_until_the_viewer_draws(
    chromium: Browser, clinic: Clinic
) -> None:
    slices, held, free = series(), list[Route](), Event()

    def hold(route: Route) -> None:
        route.continue_() if free.is_set() else held.append(route)

    clinic.store.store_instances([as_file(one) for one in slices])
    with page_of(chromium, clinic.address, "ada") as page:
        page.route("**/frames/1", hold)
        page.goto(f"/study/{slices[0].StudyInstanceUID}")
        preview = page.locator(".viewer-preview")
        expect(preview).to_be_visible(timeout=120_000)
        page.wait_for_function("() => document.querySelector('.viewer-preview').naturalWidth > 0")
        free.set()
        for one in held:
            one.continue_()
        shows(page, slices[len(slices) // 2])
        expect(preview).to_have_count(0)


def test_frames_of_an_enhanced_object_are_scrolled_in_order_of_their_places(
    chromium: Browser, clinic: Clinic
) -> None:
    order = [3, 0, 4, 1, 2]
    hu = np.stack([np.full((64, 64), 50 * k) for k in order])
    hu[:, :8] = -1000  # an image of one value has no contrast to show
    frames = [frame(2 * k, intercept=-1024 - k) for k in order]
    one = enhanced(hu, frames)
    with opened(chromium, clinic, [one]) as page:
        expect(page.get_by_text("Image 3 of 5")).to_be_visible()
        for key, at in (("+", 3), ("+", 4), ("PageDown", 0)):
            page.keyboard.press(key)
            expect(page.get_by_text(f"Image {at + 1} of 5")).to_be_visible()
            grey = min(255, round((50 * at + 160) / 400 * 255))
            until(page, GREYS, f"is.every((one) => Math.abs(one - {grey}) < 4)", [0.5, 0.5])


def test_keys_scroll_and_a_sentence_leads_to_its_slice(chromium: Browser, clinic: Clinic) -> None:
    slices = series()
    middle = len(slices) // 2
    with opened(chromium, clinic, slices, draft_of(slices[0], slices[3])) as page:
        page.keyboard.press("+")
        shows(page, slices[middle + 1])
        page.keyboard.press("PageDown")
        shows(page, slices[middle - 9])
        page.keyboard.press("PageDown")
        shows(page, slices[0])
        page.get_by_text("There is a band.").first.click()
        shows(page, slices[3])
        expect(page.get_by_text("This sentence has no heat map.")).to_be_visible()


@pytest.mark.parametrize("kind", list(AXES))
def test_three_planes_lead_to_the_same_slices(chromium: Browser, clinic: Clinic, kind: str) -> None:
    slices = series(kind)
    middle = len(slices) // 2
    with opened(chromium, clinic, slices, draft_of(slices[0], slices[5])) as page:
        page.get_by_role("button", name="Three planes").click()
        expect(page.locator("[data-pane] canvas")).to_have_count(3)
        shows(page, slices[middle])
        page.keyboard.press("+")
        shows(page, slices[middle + 1])
        page.get_by_text("There is a band.").first.click()
        shows(page, slices[5])


def test_images_that_the_browser_cannot_decode_are_rendered(
    chromium: Browser, clinic: Clinic
) -> None:
    slices = series()
    middle = len(slices) // 2
    headers = {"Content-Type": "multipart/related; type=image/jpx; boundary=b"}
    answers = {"**/frames/1": (JPX, headers)}
    with opened(chromium, clinic, slices, answers=answers) as page:
        expect(page.get_by_text("Values cannot be measured on them.")).to_be_visible()
        grey = round((0 + 160) / 400 * 255)
        until(page, GREYS, f"is.every((one) => Math.abs(one - {grey}) < 4)", [0.4, 0.5])
        page.keyboard.press("1")  # lung: -1350 to 150
        grey = round((0 + 1350) / 1500 * 255)
        until(page, GREYS, f"is.every((one) => Math.abs(one - {grey}) < 4)", [0.4, 0.5])
        page.keyboard.press("+")
        shows(page, slices[middle + 1])
        page.get_by_role("button", name="Three planes").click()
        expect(page.locator("[data-pane] canvas")).to_have_count(1)


def test_uneven_slices_stay_a_stack(chromium: Browser, clinic: Clinic) -> None:
    slices = [one for at, one in enumerate(series()) if at != 7]
    with opened(chromium, clinic, slices) as page:
        page.get_by_role("button", name="Three planes").click()
        expect(page.get_by_text("only the stack can be shown")).to_be_visible()
        expect(page.locator("[data-pane] canvas")).to_have_count(1)
        page.keyboard.press("+")
        shows(page, slices[len(slices) // 2 + 1])
