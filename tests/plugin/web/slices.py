"""Studies for the viewer in a browser: stored slices, and drafts as the server tells them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from playwright.sync_api import Browser, Page, expect
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from plugin.settings import Settings, Storage
from plugin.state.database import connect, session_factory
from plugin.state.running.bell import Bell
from plugin.web.serving import Served
from tests.ct import ct_stack
from tests.plugin.web.chromium import page_of, served
from tests.plugin.web.people import add_person

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
# What the console says of a draft or a heat map that is not there, and of `JPX` frames
FORESEEN = ("404", "No decoder for transfer syntax")
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
        "calibrated_on": None,
        "has_confidence": False,
        "has_evidence": True,
        "deliveries": [],
    }


@contextmanager
def opened(
    chromium: Browser,
    clinic: Clinic,
    slices: Sequence[Dataset],
    drafted: Any = None,
    answers: Mapping[str, tuple[bytes, dict[str, str]]] = MappingProxyType({}),
) -> Iterator[Page]:
    """The study page of slices that were stored; nothing may be said on its console.

    Parameters
    ----------
    chromium, clinic
        Where.
    slices : sequence of Dataset
        In the order of their places.
    drafted : dict, optional
        The draft (see `draft_of`).
    answers : mapping
        Bodies and headers in the place of the server's, by address.
    """
    clinic.store.store_instances([as_file(one) for one in slices])
    faults: list[str] = []
    with page_of(chromium, clinic.address, "ada") as page:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda one: faults.append(one.text) if one.type == "error" else None)
        if drafted is not None:
            answer(page, "**/draft", drafted)
            texts = [one["text"] for one in drafted["sections"][0]["sentences"]]
            sections = [{"heading": "findings", "title": "Findings", "text": " ".join(texts)}]
            answer(page, "**/review", review(sections))
        for where, (body, headers) in answers.items():
            answer(page, where, body, headers)
        page.goto(f"/study/{slices[0].StudyInstanceUID}")
        shows(page, slices[len(slices) // 2])
        yield page
    unforeseen = [one for one in faults if not any(part in one for part in FORESEEN)]
    assert not unforeseen, unforeseen


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
    expect(viewer).to_have_attribute("data-sop-instance", one.SOPInstanceUID, timeout=120_000)
    expect(page.get_by_role("button", name="Play")).to_be_enabled(timeout=120_000)
