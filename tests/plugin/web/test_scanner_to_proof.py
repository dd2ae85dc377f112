"""The whole way in a browser: C-STORE, worklist, images, sentence, edit, accept, archive, proof."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from dicom_io.phantoms.dicom_study import ct_images
from dicom_io.phantoms.phantom import make_phantom
from plugin.assembly import open_sessions
from plugin.settings import load_settings
from plugin.supervisor import CTSCRIBE
from tests.orthanc import RunningOrthanc
from tests.plugin.intake_objects import store
from tests.plugin.web.chromium import page_of
from tests.plugin.web.people import add_person
from tests.plugin.web.slices import shows
from tests.ports import free_port
from tests.waiting import eventually

SETTINGS = """
[receiver]
port = {dicom}
[completeness]
quiet_s = 1.0
[storage]
spool = "spool"
floor_mb = 1
[metrics]
enabled = false
[web]
enabled = true
port = {web}
[[destinations]]
name = "archive"
kind = "orthanc"
url = "{archive}"
"""
# The embedded model drafts in seconds; a machine with other work takes its time
DRAFTED_MS = 240_000


class House(NamedTuple):
    """Where `ctscribe serve` listens."""

    dicom: int
    address: str


@pytest.fixture
def house(chromium: Browser, orthanc: RunningOrthanc, tmp_path: Path) -> Iterator[House]:
    dicom, web = free_port(), free_port()
    settings = tmp_path / "ctscribe.toml"
    settings.write_text(SETTINGS.format(dicom=dicom, web=web, archive=orthanc.url), "utf-8")
    sessions = open_sessions(load_settings(settings))
    add_person(sessions, "rey", "radiologist")
    sessions.kw["bind"].dispose()
    log = tmp_path / "log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        command = [*CTSCRIBE, "serve", "-c", str(settings)]
        service = subprocess.Popen(command, stderr=output, env=environment)
    try:
        eventually(lambda: listens(dicom) and listens(web), 120)
        yield House(dicom, f"http://127.0.0.1:{web}")
        assert service.poll() is None, log.read_text("utf-8")
    finally:
        service.terminate()
        service.wait(60)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_from_the_scanner_to_the_proof(
    chromium: Browser, house: House, orthanc: RunningOrthanc
) -> None:
    slices = list(ct_images(make_phantom(3)))
    study = str(slices[0].StudyInstanceUID)
    with page_of(chromium, house.address, "rey") as page:
        page.goto("/")
        expect(page.get_by_text("There are no such studies.")).to_be_visible()
        assert set(store(house.dicom, *slices)) == {0}
        # The list is not loaded again: it hears of the study, and then of its draft
        row = page.get_by_role("row").filter(has_text=str(slices[0].AccessionNumber))
        expect(row).to_contain_text("Draft", timeout=DRAFTED_MS)
        leaning = leaning_on_slices(page, study)
        row.get_by_role("link").first.click()
        sentence = page.locator(f"[data-sentence='{leaning['id']}']")
        sentence.click()
        strongest = leaning["evidence"][0]["sop_instance_uid"]
        shows(page, next(one for one in slices if one.SOPInstanceUID == strongest))
        expect(sentence).to_contain_text("On this image")
        edit(page, "Seen and corrected.")
        page.keyboard.press("a")
        page.get_by_role("dialog").get_by_role("button", name="Accept").click()
        expect(page.get_by_text("Accepted by Rey")).to_be_visible()
        expect(page.get_by_text("Proved at the archive.")).to_be_visible(timeout=60_000)
    # The draft, and the text that was accepted
    assert sorted("Seen and corrected." in one for one in reports(orthanc, study)) == [False, True]


def leaning_on_slices(page: Page, study: str) -> dict[str, Any]:
    """The first sentence of the draft for which the model names slices."""
    sections = page.request.get(f"/api/studies/{study}/draft").json()["sections"]
    sentences = (one for section in sections for one in section["sentences"])
    return next(one for one in sentences if one["evidence"])


def edit(page: Page, text: str) -> None:
    """Replace the sentence that has the focus, and wait until the server has it."""
    page.keyboard.press("e")
    expect(page.get_by_role("textbox", name="Edit the sentence")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        page.keyboard.press("Enter")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()


def reports(orthanc: RunningOrthanc, study: str) -> list[str]:
    """The reports of a study that the archive has, as text."""
    found: list[Any] = orthanc.get(f"/dicom-web/studies/{study}/instances?00080060=SR")
    names = [one["00080018"]["Value"][0] for one in found]
    kept = orthanc.get("/instances?expand")
    wanted = [one["ID"] for one in kept if one["MainDicomTags"]["SOPInstanceUID"] in names]
    return [json.dumps(orthanc.get(f"/instances/{one}/tags?simplify")) for one in wanted]
