"""The real series of two scanners, with invented patients and reports."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from tests.training.site.studies import SPEC, wanted, write_table
from training.data.store import open_store
from training.site.deidentify.headers import quiet
from training.site.deidentify.known import elements
from training.site.deidentify.survivors import CLEANED
from training.site.prepare import prepare_site
from training.site.verify import faults

SERIES = {"philips_head/axial_5mm": "ACCQ1000", "ge_head_tilt": "ACCQ1001"}
NAME = "Quixwarth^Rosalinde^^Dr."
TEXT = (
    "FINDINGS: Mrs. Rosalinde QUIXWARTH fell. No fracture of C1. Sinus of 12 mm.\n"
    "IMPRESSION: No bleeding. Dr. R. Quixwarth was informed at 14:35."
)
_SHORTEST = 8
"""Shorter values of real headers (CT, 5MM, HEAD) stand anywhere by chance."""


@pytest.fixture(scope="module")
def headers() -> list[Dataset]:
    return []


@pytest.fixture(scope="module")
def out(cases, headers, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("real")
    rows = []
    for series, accession in SERIES.items():
        folder = root / "archive" / "Quixwarth" / accession
        folder.mkdir(parents=True)
        with quiet():
            for path in sorted((cases / series).iterdir()):
                image = pydicom.dcmread(path)
                image.PatientName, image.AccessionNumber = NAME, accession
                image.save_as(folder / path.name)
                headers.append(pydicom.dcmread(path, stop_before_pixels=True))
        rows.append({"accession": accession, "text": TEXT, "status": "F"})
    out = root / "out"
    table = write_table(root / "reports.csv", rows)
    prepare_site(wanted(root / "archive", table), out, root / "work", accept_all=True)
    return out


def texts(headers: list[Dataset]) -> Iterator[str]:
    """Every value of real headers that is long enough, private ones included."""
    with quiet():
        for header in headers:
            for element in elements(header):
                if element.keyword not in CLEANED or element.VR == "UI":
                    value = element.value
                    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    yield text.strip("\0 ")


def test_both_series_are_stored_with_what_their_scanners_are(out):
    origins = [image.origin for image in open_store(out, SPEC).images.values()]
    scanners = {(origin["manufacturer"], origin["model"]) for origin in origins}
    assert scanners == {("Philips", "Ingenuity CT"), ("GE", "HiSpeed Dual")}


def test_no_value_of_the_real_headers_is_in_the_data_set(out, headers):
    known = {text for text in texts(headers) if len(text) >= _SHORTEST}
    standard = {text for text in known if text.startswith("1.2.840.10008.")}
    assert len(known) > 100
    for path in (path for path in out.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert [text for text in known - standard if text.encode() in content] == []


def test_the_invented_patient_is_not_in_it_either(out):
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for word in (b"quixwarth", b"rosalinde", b"accq100", b"14:35"):
        assert word not in content.lower()
    assert list(faults(out, out.with_name("work"))) == []


def test_the_findings_are_still_in_it(out):
    assert set(open_store(out).texts.values()) == {
        "Findings: Mrs. [NAME] fell. No fracture of C1. Sinus of 12 mm.\n"
        "Impression: No bleeding. Dr. [NAME] was informed at [TIME]."
    }
