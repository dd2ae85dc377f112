"""`ctscribe feedback`: what an administrator and a head of department see."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.fake import FakeEngine
from plugin.cli import main
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception import intake
from plugin.reception.header import Header
from plugin.reception.intake import Arrival
from plugin.settings import load_settings
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.kept.signed import SignedText
from plugin.state.tables import Draft
from tests.orthanc import RunningOrthanc
from tests.training.site.structured import FINDINGS, IMPRESSION, section, structured_report
from tests.training.site.studies import Patient, write_study
from training.data.store import open_store

SETTINGS = """[storage]
spool = "spool"
[[destinations]]
name = "pacs"
kind = "orthanc"
url = "{url}"
"""
TEXT = "Findings: Left pleural effusion. Impression: Left pleural effusion."
PATIENTS = [Patient(number) for number in (1, 2, 3)]
PATIENCE = Patience(timedelta(seconds=1), timedelta(seconds=2))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(SETTINGS.format(url="http://127.0.0.1:1"))
    return path


@pytest.fixture
def sessions(config):
    engine = open_database(load_settings(config).storage.database_url)
    yield session_factory(engine)
    engine.dispose()


@pytest.fixture
def drafted(config, sessions, tmp_path) -> SessionFactory:
    """Three studies have come and were drafted, two days ago."""
    spool = Spool(load_settings(config).storage.spool)
    long_ago = datetime.now(UTC) - timedelta(days=2)
    for patient in PATIENTS:
        folder = spool.root / "instances" / patient.study_uid
        for path in sorted(write_study(folder, patient).iterdir()):
            arrive(sessions, patient, path, spool, long_ago)
    worker = Worker(sessions, spool, Pipeline(FakeEngine(TEXT)).make_report, {})
    while worker.work_once():
        pass
    with sessions.begin() as session:
        session.query(Draft).update({"created_at": long_ago})
    return sessions


def arrive(sessions, patient: Patient, path: Path, spool: Spool, now: datetime) -> None:
    from pydicom import dcmread

    image = dcmread(path)
    header = Header(
        sop_class_uid=str(image.SOPClassUID),
        sop_instance_uid=str(image.SOPInstanceUID),
        study_instance_uid=patient.study_uid,
        series_instance_uid=str(image.SeriesInstanceUID),
        modality="CT",
        accession_number=patient.accession,
        own=False,
        patient_id=patient.id,
    )
    arrival = Arrival(
        header=header,
        transfer_syntax_uid=str(image.file_meta.TransferSyntaxUID),
        path=str(path.relative_to(spool.root)),
        size=path.stat().st_size,
        sha256=str(image.SOPInstanceUID)[-64:],
    )
    with sessions.begin() as session:
        intake.record(session, [arrival], patience=PATIENCE, now=now)


@pytest.fixture
def ran(config):
    def ran(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["feedback", *arguments, "-c", str(config)])

    return ran


def table(folder: Path, *rows: tuple[Patient, str, str]) -> Path:
    path = folder / "signed.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["accession", "patient_id", "text", "status"])
        for patient, patient_id, text in rows:
            writer.writerow([patient.accession, patient_id, text, "F"])
    return path


def signed(patient: Patient, text: str) -> tuple[Patient, str, str]:
    return patient, patient.id, text


def test_signed_reports_of_a_table_are_compared(ran, drafted, tmp_path):
    first, second, third = PATIENTS
    reports = table(
        tmp_path,
        signed(first, "FINDINGS: Left pleural effusion."),
        signed(second, "FINDINGS: Right pleural effusion. Ascites."),
        (third, "another patient", "FINDINGS: Normal."),
    )
    told = ran("fetch", "--reports", str(reports))
    assert told.exit_code == 0, told.output
    assert told.output.splitlines() == [
        "2 signed reports found, 1 draft without one",
        "  1 × its report is of another patient",
    ]
    again = json.loads(ran("fetch", "--reports", str(reports), "--json").output)
    assert again == {"found": 0, "not_yet": {"its report is of another patient": 1}}
    (month,) = json.loads(ran("report", "--json").output)["months"]
    assert (month["drafts"], month["signed"], month["same_findings"]) == (3, 2, 1)
    assert month["agreed"] == month["changed"] == {"pleural effusion": 1}
    assert month["missed"] == {"ascites": 1}
    assert month["invented"] == {}


def test_a_page_and_a_table_are_written(ran, drafted, tmp_path):
    reports = table(tmp_path, signed(PATIENTS[0], "FINDINGS: Ascites."))
    ran("fetch", "--reports", str(reports))
    page, rows = tmp_path / "page.html", tmp_path / "rows.csv"
    told = ran("report", "--html", str(page), "--csv", str(rows))
    assert told.exit_code == 0, told.output
    assert "0 % of these have the same findings" in page.read_text("utf-8")
    with rows.open(newline="", encoding="utf-8") as file:
        found = {row["finding"]: row for row in csv.DictReader(file)}
    assert found["ascites"]["missed"] == found["pleural effusion"]["invented"] == "1"
    for name in ("yxwarth", "Anton", "ACC99", "MRN77"):
        assert name not in page.read_text("utf-8") + rows.read_text("utf-8") + told.output


def test_a_young_draft_is_left_for_later(ran, drafted, tmp_path):
    reports = table(tmp_path, signed(PATIENTS[0], "FINDINGS: Ascites."))
    told = ran("fetch", "--reports", str(reports), "--after", "3d")
    assert told.output.startswith("0 signed reports found, 0 drafts")


def test_the_pairs_are_a_training_set(ran, drafted, tmp_path):
    """The reports that were signed, and the images that were received; no name is in it."""
    reports = table(tmp_path, *(signed(one, one.report) for one in PATIENTS))
    ran("fetch", "--reports", str(reports))
    out = tmp_path / "out"
    told = ran("prepare", str(out), "--accept-all", "--no-search-pixels")
    assert told.exit_code == 0, told.output
    store = open_store(out)
    assert len(store.images) == 3
    assert all("left pleural effusion" in text for text in store.texts.values())
    assert not any("yxwarth" in text for text in store.texts.values())


def test_what_is_missing_is_said(ran, drafted, tmp_path):
    assert "name an archive (--from)" in ran("fetch").output
    told = ran("fetch", "--from", "elsewhere")
    assert told.exit_code == 1
    assert "no archive is called elsewhere; the settings have pacs" in told.output
    told = ran("prepare", str(tmp_path / "out"))
    assert told.exit_code == 1
    assert "no signed report is known yet" in told.output
    assert ran("report").exit_code == 0


def test_an_archive_that_does_not_answer_is_told_in_one_line(ran, drafted):
    told = ran("fetch", "--from", "pacs")
    assert told.exit_code == 1
    assert "Traceback" not in told.output


def test_signed_reports_are_fetched_from_a_real_orthanc(
    ran, drafted, config, tmp_path, orthanc: RunningOrthanc
):
    config.write_text(SETTINGS.format(url=orthanc.url))
    said = section(FINDINGS, "Left pleural effusion."), section(IMPRESSION, "Effusion.")
    written = {
        "signed": structured_report(*said, patient=PATIENTS[0]),
        "unsigned": structured_report(*said, patient=PATIENTS[1], VerificationFlag="UNVERIFIED"),
    }
    for name, report in written.items():
        path = tmp_path / f"{name}.dcm"
        report.save_as(path, enforce_file_format=True)
        orthanc.upload(path)
    found = json.loads(ran("fetch", "--from", "pacs", "--json").output)
    assert found["found"] == 1
    assert sum(found["not_yet"].values()) == 2
    with drafted() as session:
        (row,) = session.query(SignedText)
        assert row.source == "pacs"
        assert row.compared["agreed"] == ["left pleural effusion"]
