"""Markup and paths in every attribute of a study, and in the words of its draft, do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from playwright.sync_api import Browser, Page, expect
from pydicom import Dataset, config, dcmread
from pydicom.datadict import DicomDictionary
from sqlalchemy import select

from engine.fake import FakeEngine
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.settings import Completeness, Settings, Storage
from plugin.state.audit import Who
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.running.bell import Bell
from plugin.state.tables import Draft
from plugin.web.access.tokens import Scope, Tokens
from plugin.web.serving import Served
from tests.ct import ct_stack
from tests.plugin.conftest import database
from tests.plugin.web.chromium import page_of, served
from tests.plugin.web.people import add_person
from tests.waiting import eventually

MARKUP = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
PATH = "../../../../tmp/taken"
LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "PN": 64, "ST": 1024, "LT": 10240, "UT": 10240}
# What makes it a CT image of a study
KEPT = {
    *("Modality", "SpecificCharacterSet", "ImageType", "PhotometricInterpretation"),
    "RescaleType",
}


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield from database("sqlite", request, tmp_path)


@pytest.fixture
def address(sessions: SessionFactory, spool: Spool) -> Iterator[str]:
    quick = Completeness(quiet_s=0.2, cap_s=10.0)
    chosen = Settings(storage=Storage(spool=spool.root, floor_mb=0), completeness=quick)
    with closing(Bell(sessions.kw["bind"])) as bell:
        service = Served(chosen, None, sessions, bell)
        with service.running(), served(service.app) as address:
            yield address


def taken_over(text: str) -> list[Dataset]:
    """Slices whose every text is this one, as far as it fits."""
    images = ct_stack(np.zeros((6, 64, 64)), np.diag([3.0, 1, 1, 1]))
    texts = {
        keyword: text[: LONGEST[vr]]
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
        if vr in LONGEST and keyword and keyword not in KEPT and tag > 0x00080000
    }
    for image in images:
        for keyword, value in texts.items():
            setattr(image, keyword, value)
    return [as_read(image) for image in images]


def as_read(image: Dataset) -> Dataset:
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


@pytest.mark.parametrize("text", [MARKUP, PATH], ids=["markup", "path"])
def test_what_an_attribute_says_does_nothing(
    chromium: Browser,
    address: str,
    sessions: SessionFactory,
    spool: Spool,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    add_person(sessions, "ann", "radiologist", "administrator")
    before = set(spool.root.parent.iterdir())
    store(address, sessions, taken_over(text))
    report = Pipeline(FakeEngine(f"Findings: {text} effusion. Impression: None.")).make_report
    worker = Worker(sessions, spool, report, {"archive": "dimse"})
    eventually(worker.work_once)
    with sessions() as session:
        study = session.scalars(select(Draft)).one().study.study_instance_uid
    assert set(spool.root.parent.iterdir()) == before
    with page_of(chromium, address, "ann") as page:
        complaints = listening(page)
        page.goto("/")
        expect(page.get_by_role("row")).to_have_count(2, timeout=30_000)
        expect(page.get_by_role("row").nth(1)).to_contain_text(text[:16])
        page.goto(f"/study/{study}")
        expect(page.get_by_text(f"{text} effusion.")).to_be_visible()
        page.goto("/admin/studies")
        expect(page.get_by_role("row")).to_have_count(2, timeout=30_000)
        assert page.title() != "taken"
        assert complaints == []


def store(address: str, sessions: SessionFactory, images: list[Dataset]) -> None:
    tokens = Tokens(sessions, Who(kind="person", name="ann"))
    token = tokens.make("scanner", [Scope.DICOMWEB_WRITE], 1)
    headers = {"Authorization": f"Bearer {token}"}
    DICOMwebClient(f"{address}/dicom-web", headers=headers).store_instances(images)


def listening(page: Page) -> list[str]:
    """What the page complains of, such as a breach of the policy, and what pops up."""
    heard: list[str] = []
    page.on("dialog", lambda one: heard.append(one.message))
    page.on("console", lambda one: heard.append(one.text))
    page.on("pageerror", lambda one: heard.append(str(one)))
    return heard
