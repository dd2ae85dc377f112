"""The viewer in a browser: `python -m bench.viewer`.

How long until the first image is on the screen, and how many images a second it scrolls. A series
of slices with noise, uncompressed, is stored in a reading room of its own. A headless Chromium
without a GPU opens the study page again and again: the time runs from the navigation until an image
is on the screen, first as the server renders it, then as the viewer draws it. It is taken with an
empty cache, as for the first study of a browser, and with the pages in the cache, as for all
others. Then it scrolls through slices that it has loaded, each shown before the next is asked for.
The server, the browser and its drawing share the processors; the load of the machine stands beside
the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from dicomweb_client import DICOMwebClient
from playwright.sync_api import Browser, Page, sync_playwright
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from plugin.settings import Settings, Storage
from plugin.state.database import open_database, session_factory
from plugin.state.running.bell import Bell
from plugin.web.serving import Served
from tests.ct import ct_stack
from tests.plugin.web.chromium import page_of, served
from tests.plugin.web.people import add_person

SLICES, SIDE = 300, 512
# Series are stored in parts, as a modality sends them: all at once are 157 MB
PART = 50
# Looked at before the screen is painted: when there was the server's image, and the viewer's own
WATCHED = """
performance.setResourceTimingBufferSize(5000);
window.first = {};
const isDrawn = () => {
  const canvas = document.querySelector('[data-pane] canvas');
  if (!canvas || !document.querySelector('.viewer')?.dataset.sopInstance) return false;
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0] > 0;
};
const look = () => {
  const preview = document.querySelector('.viewer-preview');
  if (preview?.complete && preview.naturalWidth) first.preview ??= performance.now();
  if (isDrawn()) first.drawn = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# Keys are pressed as a reader holds them down; each waits until the slice before is on the screen
SCROLLED = """async (count) => {
  const viewer = document.querySelector('.viewer');
  const press = (key) => dispatchEvent(new KeyboardEvent('keydown', { key }));
  const change = (key) => new Promise((done) => {
    new MutationObserver((_, all) => { all.disconnect(); requestAnimationFrame(done); })
      .observe(viewer, { attributes: true, attributeFilter: ['data-sop-instance'] });
    press(key);
  });
  const began = performance.now();
  for (let at = 0; at < count; at += 1) await change('+');
  const took = performance.now() - began;
  for (let at = 0; at < count / 10; at += 1) await change('PageDown');
  return 1000 * count / took;
}"""
First = tuple[float, float]
LOADED = (
    "() => performance.getEntriesByType('resource').filter((one) => /frames/.test(one.name)).length"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--opened", type=int, default=7, help="how often the page is opened")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, house(Path(folder)) as address:
        study = store(address, options.slices)
        found = measured(address, study, options)
    for name, value in found.items():
        print(f"{name:56} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


@contextmanager
def house(folder: Path) -> Iterator[str]:
    """Serve a reading room where Ada is signed in; yields its address."""
    engine = open_database(f"sqlite:///{folder / 'ctscribe.db'}")
    sessions = session_factory(engine)
    add_person(sessions, "ada", "administrator")
    settings = Settings(storage=Storage(spool=folder / "spool", floor_mb=0))
    with ExitStack() as stack:
        bell = stack.enter_context(closing(Bell(engine)))
        reading_room = Served(settings, None, sessions, bell)
        stack.enter_context(reading_room.running())
        yield stack.enter_context(served(reading_room.app))
    engine.dispose()


def store(address: str, count: int) -> str:
    """Store a study of one noisy series; returns its UID."""
    noise = np.random.default_rng(0).normal(40, 60, (count, SIDE, SIDE)).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 0.7], [0, 0.7, 0], [1, 0, 0]]
    study = str(generate_uid())
    slices = ct_stack(noise, affine, StudyInstanceUID=study, SeriesInstanceUID=generate_uid())
    headers = {"Cookie": "ctscribe_session=ada", "X-CSRF-Token": "token"}
    client = DICOMwebClient(f"{address}/dicom-web", headers=headers)
    for start in range(0, count, PART):
        client.store_instances([_as_file(one) for one in slices[start : start + PART]])
    return study


def _as_file(one: Dataset) -> Dataset:
    file = BytesIO()
    one.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def measured(address: str, study: str, options: argparse.Namespace) -> dict[str, Any]:
    """Open the study several times, and scroll through it once."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        empty = [opened(browser, address, study) for _ in range(options.opened)]
        with page_of(browser, address, "ada") as page:
            show(page, study)
            cached = [show(page, study) for _ in range(options.opened)]
            loaded_s = wait_until_loaded(page, options.slices)
            # Of the slices above the middle one, some are left for the last page
            began_s = processor_s()
            rates = [page.evaluate(SCROLLED, options.slices // 3) for _ in range(3)]
            # There, and a tenth as many steps back
            each_s = (processor_s() - began_s) / (3.3 * (options.slices // 3))
        version = browser.version
        browser.close()
    return {
        "slices": options.slices,
        **_told("empty cache", empty),
        **_told("pages in the cache", cached),
        "all slices loaded, s": round(loaded_s, 1),
        "images a second, median of three": round(statistics.median(rates), 1),
        "processor time of an image scrolled, ms": round(1000 * each_s, 1),
        "processors": os.cpu_count(),
        "load of the machine, last minute": round(os.getloadavg()[0], 1),
        "Chromium": version,
    }


def processor_s() -> float:
    """Return what this process and the browser have taken; other work adds nothing to it."""
    # Of proc(5), after the name in brackets: the parent second, the processor's ticks 12th and 13th
    stats = {}
    for one in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            stats[int(one.parent.name)] = one.read_text().rpartition(") ")[2].split()
    family = {os.getpid()}
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in family} - family:
        family |= more
    ticks = sum(int(stats[pid][11]) + int(stats[pid][12]) for pid in family)
    return ticks / os.sysconf("SC_CLK_TCK")


def _told(where: str, opened: Sequence[First]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for what, values in zip(
        ("first image", "first image of the viewer's own"), zip(*opened, strict=True), strict=True
    ):
        told[f"{what}, {where}, median s"] = round(statistics.median(values), 2)
        told[f"{what}, {where}, fastest and slowest s"] = [
            round(end(values), 2) for end in (min, max)
        ]
    return told


def opened(browser: Browser, address: str, study: str) -> First:
    """Open a study for the first time; a context of its own has no cache."""
    with page_of(browser, address, "ada") as page:
        return show(page, study)


def show(page: Page, study: str) -> First:
    """Seconds from the navigation to an image: the server's or one's own, and one's own."""
    page.add_init_script(WATCHED)
    page.goto(f"/study/{study}", wait_until="commit")
    found = page.wait_for_function("() => window.first?.drawn && first", timeout=300_000)
    ms = found.json_value()
    return min(ms.get("preview", ms["drawn"]), ms["drawn"]) / 1000, ms["drawn"] / 1000


def wait_until_loaded(page: Page, count: int) -> float:
    """Seconds until the browser has asked for all slices and got them."""
    began = time.monotonic()
    while page.evaluate(LOADED) < count:
        page.wait_for_timeout(200)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
