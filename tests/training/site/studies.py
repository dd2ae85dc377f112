"""Small CT studies of invented patients, and their reports."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import generate_uid

from dicom_io.model_input.preprocess import PreprocessSpec
from tests.ct import ct_stack
from training.site.reports.table import read_table
from training.site.sources.folder import FolderSource
from training.site.sources.source import Query
from training.site.wanted import Wanted

SPEC = PreprocessSpec(size=(8, 16, 16))
AFFINE = np.array([[0, 0, 2, -20], [0, 2, 0, -20], [3, 0, 0, 0], [0, 0, 0, 1.0]])


@dataclass(frozen=True)
class Patient:
    """One patient with one study."""

    number: int

    @property
    def id(self) -> str:
        return f"MRN77{self.number:04d}"

    @property
    def family(self) -> str:
        return f"Zyxwarth{chr(97 + self.number % 26)}"

    @property
    def accession(self) -> str:
        return f"ACC99{self.number:04d}"

    @property
    def study_uid(self) -> str:
        return f"1.2.826.0.1.3680043.8.498.77.{self.number}"

    @property
    def day(self) -> date:
        return date(2024, 3, 1 + self.number % 28)

    @property
    def report(self) -> str:
        return (
            f"Patient: {self.family}, Anton\nTECHNIQUE: CT.\n"
            f"FINDINGS: There is a left pleural effusion. No ascites. "
            f"The lesion number {self.number} of Mr. {self.family} measures {self.number + 3} mm.\n"
            "IMPRESSION: Left pleural effusion."
        )


def write_study(folder: Path, patient: Patient, **attributes: Any) -> Path:
    """Write twelve slices, under file names that name the patient."""
    rng = np.random.default_rng(patient.number)
    hu = rng.integers(-200, 300, (12, 20, 20)).astype(np.int16)
    hu[:, :3] = -1000
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        "StudyInstanceUID": patient.study_uid,
        "SeriesInstanceUID": f"{patient.study_uid}.2",
        "FrameOfReferenceUID": f"{patient.study_uid}.9",
        "PatientID": patient.id,
        "PatientName": f"{patient.family}^Anton",
        "PatientBirthDate": "19500317",
        "AccessionNumber": patient.accession,
        "StudyDate": f"{patient.day:%Y%m%d}",
        "InstitutionName": "Klinikum Bad Nirgendwo",
        **attributes,
    }
    for number, image in enumerate(ct_stack(hu, AFFINE, **named)):
        image.SOPInstanceUID = generate_uid(entropy_srcs=[image.SeriesInstanceUID, str(number)])
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(folder / f"{patient.family}_{number}.IMA", enforce_file_format=True)
    return folder


def write_archive(folder: Path, patients: Iterable[Patient]) -> Path:
    """Write the studies of patients side by side."""
    for patient in patients:
        write_study(folder / f"{patient.family}_{patient.number}" / "CT", patient)
    return folder


def write_table(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    """Write reports as CSV."""
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def report_rows(patients: Iterable[Patient]) -> list[dict[str, str]]:
    return [
        {"accession": p.accession, "patient_id": p.id, "text": p.report, "status": "F"}
        for p in patients
    ]


def wanted(archive: Path, table: Path | None = None, **changes: Any) -> Wanted:
    """The data set of a folder, with the reports of a table or those in the studies."""
    values: dict[str, Any] = {
        "source": FolderSource(archive),
        "source_name": str(archive),
        "query": Query(),
        "limit": None,
        "reports_from": "table" if table else "sr",
        "reports": tuple(read_table(table, {})) if table else (),
        "checkpoint": "embedded",
        "spec": SPEC,
        # tests/training/site/deidentify/test_pixels.py is about that
        "search_pixels": False,
        **changes,
    }
    return Wanted(**values)
