"""What a radiologist sees first: the draft of a phantom, in OHIF, read from a real Orthanc."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine.fake import FakeEngine
from plugin.drafting.writing.pipeline import Pipeline
from tests.ohif import CHROMIUM, running_ohif
from tests.orthanc import running_orthanc

SCREEN = {"width": 1366, "height": 900}
TEXT = (
    "Findings: There is no cardiomegaly. No pleural effusion is seen. Splenomegaly is present. "
    "The liver is of normal attenuation. There is no ascites. Impression: Splenomegaly."
)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def test_the_first_screen_holds_notice_and_impression(tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    slices = sorted(write_study(make_phantom(21, matrix=32), tmp_path / "study").iterdir())
    report = Pipeline(FakeEngine(TEXT)).make_report(slices)
    assert report is not None
    draft = tmp_path / "draft.dcm"
    report.sr.save_as(draft, enforce_file_format=True)
    with running_orthanc(tmp_path / "orthanc") as orthanc, running_ohif(orthanc.url) as url:
        for path in (*slices, draft):
            orthanc.upload(path)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport=SCREEN)
            study, series = report.sr.StudyInstanceUID, report.sr.SeriesInstanceUID
            page.goto(
                f"{url}/viewer?StudyInstanceUIDs={study}&initialSeriesInstanceUID={series}",
                wait_until="domcontentloaded",
            )
            shown = page.get_by_text("AI DRAFT - NOT VERIFIED. Written by the model")
            expect(shown).to_be_in_viewport(timeout=45_000)
            page.screenshot(path=tmp_path / "screen.png")
            for text in ("Draft 1 of", "Splenomegaly.", "Splenomegaly is present."):
                expect(page.get_by_text(text, exact=False).first).to_be_in_viewport()
            cut = "[...document.querySelectorAll('pre')].some(e => e.scrollWidth > e.clientWidth)"
            assert not page.evaluate(f"() => {cut}"), "a line is cut at the right"
            browser.close()
