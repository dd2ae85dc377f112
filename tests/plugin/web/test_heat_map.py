"""Heat maps over the images in a browser: where they are on the screen, by its pixels."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.plugin.web.slices import (
    PIXEL_MM,
    SIDE,
    SLICES,
    STEP_MM,
    TEXTS,
    Clinic,
    answer,
    draft_of,
    opened,
    series,
    shows,
)
from tests.plugin.web.slices import clinic as clinic
from tests.waiting import eventually

# Red above blue in what is a heat map, and not the grey of an image or the blue of a line
WARM = 40


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
