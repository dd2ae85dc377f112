"""Signed reports for the service, which knows nothing of how a site keeps them.

Found through the entry points `ctscribe.reports`: `files` and `objects`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from pydicom import Dataset

from dicom_io.errors import UnusableData
from training.site.reports.hl7 import read_messages
from training.site.reports.matcher import check_patient
from training.site.reports.reports import NoReport, SignedReport, reading_of
from training.site.reports.sr import reports_in
from training.site.reports.table import read_table

TABLES = (".csv", ".jsonl", ".ndjson")

Find = Callable[[str, str], str]
"""Accession number and patient ID to the findings and impression that hold."""


def from_files(path: Path, time_format: str | None = None) -> Find:
    """Read a table, or a folder of HL7 messages, and return what finds the report of a study.

    What it returns raises `NoReport` where there is none, or where it is another patient's.

    Raises
    ------
    UnusableData
        The path is neither, or cannot be read.
    """
    reports: dict[str, list[SignedReport]] = defaultdict(list)
    for report in _read(path, time_format):
        reports[report.accession_number.strip()].append(report)

    def find(accession_number: str, patient_id: str) -> str:
        found = reports.get(accession_number.strip(), [])
        check_patient(patient_id, found)
        return reading_of(found).text

    return find


def from_objects(objects: Iterable[Dataset], patient_id: str) -> str:
    """Return what holds of the reports among the objects of a study.

    Raises
    ------
    NoReport
        There is none that a person has signed, or it is another patient's.
    """
    reports = list(reports_in(objects))
    check_patient(patient_id, reports)
    return reading_of(reports).text


def _read(path: Path, time_format: str | None) -> Iterable[SignedReport]:
    if path.is_dir():
        return read_messages(path)
    if path.is_file() and path.suffix.lower() in TABLES:
        return read_table(path, {}, time_format)
    raise UnusableData(f"{path.name} is neither a .csv or .jsonl file nor a folder of HL7 messages")


__all__ = ["NoReport", "from_files", "from_objects"]
