"""The viewer in a browser under the server's policy: what is on the screen, not what events say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from plugin.settings import Settings, Storage
from plugin.state.database import connect, session_factory
from plugin.state.running.bell import Bell
from plugin.web.serving import Served
from tests.ct import ct_stack
from tests.plugin.web.chromium import page_of, served
from tests.plugin.web.people import add_person
from tests.waiting import eventually

# Axial slices of 64 × 64 with 2 mm pixels and 4 mm steps. Left on the screen is 0 HU, which is the
# patient's right; right is 200 HU
SIDE, SLICES, STEP_MM, PIXEL_MM = 64, 20, 4.0, 2.0
AXES = {
    # Columns of (slice, row, column) directions; LPS
    "axial": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "axial, from the head down": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "sagittal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "oblique": ((0, 0.6, 0.8), (0, 0.8, -0.6), (1, 0, 0)),
}
GREYS = """([x, y]) => {
  const canvas = document.querySelector('[data-pane] canvas');
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  copy.drawImage(canvas, 0, 0);
  return [...copy.getImageData(x * canvas.width, y * canvas.height, 1, 1).data].slice(0, 3);
}"""
# Red above blue in what is a heat map, and not the grey of an image or the blue of a line
WARM = 40
TEXTS = ("There is a band.", "There is a spot.")


class Clinic(NamedTuple):
    """A served reading room, and what stores studies in it."""

    address: str
    store: DICOMwebClient


@pytest.fixture(scope="module")
def clinic(
    chromium: Browser, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("clinic")
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, folder / 'ctscribe.db')}")
    sessions = session_factory(engine)
    add_person(sessions, "ada", "administrator")
    settings = Settings(storage=Storage(spool=folder / "spool", floor_mb=0))
    with ExitStack() as stack:
        bell = stack.enter_context(closing(Bell(engine)))
        house = Served(settings, None, sessions, bell)
        stack.enter_context(house.running())
        address = stack.enter_context(served(house.app))
        headers = {"Cookie": "ctscribe_session=ada", "X-CSRF-Token": "token"}
        yield Clinic(address, DICOMwebClient(f"{address}/dicom-web", headers=headers))
    engine.dispose()


def series(kind: str = "axial", syntax: str | None = None) -> list[Dataset]:
    """Slices in the order of their places."""
    hu = np.zeros((SLICES, SIDE, SIDE))
    hu[:, :, SIDE // 2 :] = 200
    along, down, across = (np.array(one, float) for one in AXES[kind])
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack((STEP_MM * along, PIXEL_MM * down, PIXEL_MM * across))
    made = ct_stack(hu, affine, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid())
    for one in made:
        if syntax:
            one.compress(syntax, generate_instance_uid=False)
    axis = int(np.argmax(np.abs(along)))
    return sorted(made, key=lambda one: float(one.ImagePositionPatient[axis]))


def as_file(one: Dataset) -> Dataset:
    file = BytesIO()
    one.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def draft_of(shown: Dataset, *evidence: Dataset) -> dict[str, Any]:
    """What the server tells of a draft whose sentences lean on a slice each."""
    places = [
        {
            "series_instance_uid": one.SeriesInstanceUID,
            "sop_instance_uid": one.SOPInstanceUID,
            "series_number": 1,
            "instance_number": int(one.InstanceNumber),
        }
        for one in evidence
    ]
    section = {"heading": "findings", "title": "Findings"}
    unsure = {"confidence": None, "withheld": None}
    sentences = [
        {"id": f"s{number}", "text": text, **unsure, "evidence": [place]}
        for number, (text, place) in enumerate(zip(TEXTS, places, strict=False), start=1)
    ]
    return {
        "sop_instance_uid": str(shown.SOPInstanceUID),
        "revision": 1,
        "state": "current",
        "model": {"name": "m", "version": "1", "digest": "0", "demonstration": False},
        "notices": [],
        "sections": [{**section, "sentences": sentences}],
        "has_confidence": False,
        "has_evidence": True,
        "deliveries": [],
    }


@contextmanager
def opened(
    chromium: Browser, clinic: Clinic, slices: Sequence[Dataset], drafted: Any = None
) -> Iterator[Page]:
    """The study page of slices that were stored; nothing may be said on its console."""
    clinic.store.store_instances([as_file(one) for one in slices])
    faults: list[str] = []
    with page_of(chromium, clinic.address, "ada") as page:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda said: (
                faults.append(said.text)
                if said.type == "error" and "404" not in said.text
                else None
            ),
        )
        if drafted is not None:
            answer(page, "**/draft", drafted)
            texts = [one["text"] for one in drafted["sections"][0]["sentences"]]
            sections = [{"heading": "findings", "title": "Findings", "text": " ".join(texts)}]
            answer(page, "**/review", review(sections))
        page.goto(f"/study/{slices[0].StudyInstanceUID}")
        shows(page, slices[len(slices) // 2])
        yield page
    assert faults == []


def answer(page: Page, where: str, told: Any, headers: dict[str, str] | None = None) -> None:
    """Answer in the server's place: bytes as they are, all else as JSON."""
    raw = isinstance(told, bytes)
    body = told if raw else json.dumps(told)
    kind = "application/octet-stream" if raw else "application/json"
    headers = {"Content-Type": kind, **(headers or {})}
    page.route(where, lambda route: route.fulfill(body=body, headers=headers, status=200))


def review(sections: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "draft_revision": 1,
        "sections": sections,
        "state": "open",
        "saved_at": None,
        "saved_by": None,
        "reason": None,
        "readers": [],
        "history": [],
        "object": None,
    }


def shows(page: Page, one: Dataset) -> None:
    """The slice is on the screen, and keys are taken."""
    viewer = page.locator(".viewer")
    expect(viewer).to_have_attribute("data-sop-instance", one.SOPInstanceUID, timeout=30_000)
    expect(page.get_by_role("button", name="Play")).to_be_enabled(timeout=30_000)


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


def test_a_heat_map_lies_where_it_says(chromium: Browser, clinic: Clinic) -> None:
    slices = series()
    spot = np.zeros((8, 8, 8), np.uint8)  # slices, rows, columns of 10 × 16 × 16 mm
    spot[4:6, 1, 6] = 255  # in front on the patient's left, in slices 10 to 15
    stripe = np.zeros_like(spot)
    stripe[:, :, 5] = 255
    with opened(chromium, clinic, slices, draft_of(slices[0], slices[12], slices[8])) as page:
        heats(page, s1=spot, s2=stripe)
        page.get_by_role("button", name=TEXTS[0]).click()
        shows(page, slices[12])
        expect(page.get_by_role("button", name=TEXTS[0])).to_contain_text("On this image")
        first = eventually(lambda: looks(page, at=(0.625, 0.1875)))
        # It goes with the images
        drag(page, "right", 0, -60)
        zoomed = eventually(lambda: looks(page, at=(0.625, 0.1875), unlike=first))
        drag(page, "middle", 40, 25)
        eventually(lambda: looks(page, at=(0.625, 0.1875), unlike=zoomed))
        # Slices without it have none
        page.keyboard.press("PageDown")
        shows(page, slices[2])
        eventually(lambda: looks(page, at=None))
        # Another sentence has another
        page.get_by_role("button", name=TEXTS[1]).click()
        shows(page, slices[8])
        eventually(lambda: looks(page, at=(0.375, 0.5)))
        strong = redness(page)
        page.get_by_label("Heat map").fill("0.2")
        eventually(lambda: 0 < redness(page) < strong / 2)
        page.get_by_label("Heat map").fill("0")
        eventually(lambda: looks(page, at=None))
        page.get_by_label("Heat map").fill("0.8")
        page.get_by_role("button", name="Three planes").click()
        for plane in ("axial", "coronal"):
            eventually(lambda plane=plane: looks(page, plane, at=(0.375, 0.5)))


def heats(page: Page, **maps: NDArray[np.uint8]) -> None:
    """Give sentences heat maps, as the server sends them, over the whole of `series()`."""
    cell = SIDE * PIXEL_MM / 8
    header = {
        "dimensions": [8, 8, 8],
        "spacing": [cell, cell, SLICES * STEP_MM / 8],
        "origin": [(cell - PIXEL_MM) / 2, (cell - PIXEL_MM) / 2, 3.0],
        "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    }
    for sentence, values in maps.items():
        answer(page, f"**/heat/{sentence}", values.tobytes(), {"X-Heat": json.dumps(header)})


class Look(NamedTuple):
    """Where things are on the screen: the half of 200 HU (left, top, width, height), in pixels."""

    bright: tuple[int, int, int, int]


def looks(
    page: Page, plane: str = "axial", *, at: tuple[float, float] | None, unlike: Any = None
) -> Look | None:
    """Take a picture; what it shows, if the heat's middle is at such shares of the bright half."""
    shot = picture(page, plane)
    hot = shot[..., 0] - shot[..., 2] > WARM
    rows, columns = np.nonzero((shot[..., 0] > 222) | hot)
    if not rows.size:
        return None
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) + 1 - left, int(rows.max()) + 1 - top
    look = Look((left, top, width, height))
    rows, columns = np.nonzero(hot)
    if at is None:
        return None if rows.size else look
    if not rows.size or look == unlike:
        return None
    middle = ((columns.mean() - left) / width, (rows.mean() - top) / height)
    return look if np.allclose(middle, at, atol=0.02) else None


def picture(page: Page, plane: str = "axial") -> NDArray[np.int64]:
    """The pixels of a pane as they are on the screen."""
    shot = page.locator(f"[data-pane={plane}]").screenshot()
    return np.asarray(Image.open(BytesIO(shot)).convert("RGB"), np.int64)


def redness(page: Page) -> int:
    """The most that red lies above blue: how strong a heat map is laid over."""
    shot = picture(page)
    return int((shot[..., 0] - shot[..., 2]).max())


def drag(page: Page, button: Literal["middle", "right"], x: int, y: int) -> None:
    box = page.locator("[data-pane=axial]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down(button=button)
    page.mouse.move(box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y, steps=4)
    page.mouse.up(button=button)


def test_uneven_slices_stay_a_stack(chromium: Browser, clinic: Clinic) -> None:
    slices = [one for at, one in enumerate(series()) if at != 7]
    with opened(chromium, clinic, slices) as page:
        page.get_by_role("button", name="Three planes").click()
        expect(page.get_by_text("only the stack can be shown")).to_be_visible()
        expect(page.locator("[data-pane] canvas")).to_have_count(1)
        page.keyboard.press("+")
        shows(page, slices[len(slices) // 2 + 1])
