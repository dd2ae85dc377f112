"""A report as a FHIR R4 DiagnosticReport: a draft is preliminary, an accepted one may be final."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any

from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from pydicom import Dataset

from dicom_io.device import DEVICE_UID
from dicom_io.errors import NonConformantReport
from reporting.forms.source import accepted_by, language_of, notice_of, writer, written_at
from reporting.objects.render import report_sections, report_text

# One report of this software for each study: its identifier is the study's, in our own namespace
REPORT = f"urn:oid:{DEVICE_UID}"
# The draft itself, as DICOM objects are identified in FHIR
EDITION = "urn:dicom:uid"


def diagnostic_report(sr: Dataset) -> dict[str, Any]:
    """Write the resource of a report, checked against the schema.

    Raises
    ------
    NonConformantReport
        The schema does not allow it. The message holds no value of the report.
    """
    text, notice = report_text(sr), notice_of(sr)
    impressions = dict(report_sections(sr)).get("Impressions", [])
    resource = {
        "resourceType": "DiagnosticReport",
        "text": {"status": "generated", "div": _narrative(notice, text)},
        "identifier": [
            {"system": REPORT, "value": str(sr.StudyInstanceUID)},
            {"system": EDITION, "value": f"urn:oid:{sr.SOPInstanceUID}"},
        ],
        "status": "final" if sr.PreliminaryFlag == "FINAL" else "preliminary",
        "category": [_coded("http://terminology.hl7.org/CodeSystem/v2-0074", "CT", "CAT Scan")],
        "code": {
            **_coded("http://loinc.org", "18748-4", "Diagnostic imaging study"),
            "text": notice,
        },
        "subject": _subject(sr),
        "issued": written_at(sr).astimezone().isoformat(),
        "performer": [{"type": "Organization", "display": writer(sr)}],
        "imagingStudy": [_logical("ImagingStudy", EDITION, f"urn:oid:{sr.StudyInstanceUID}")],
        "conclusion": "\n".join([notice, *impressions]),
        "presentedForm": [
            {
                "contentType": "text/plain; charset=utf-8",
                "language": language_of(sr),
                "data": b64encode(text.encode()).decode(),
                "title": notice,
            }
        ],
    }
    if physician := accepted_by(sr):
        resource["resultsInterpreter"] = [{"type": "Practitioner", "display": physician}]
    if accession := str(sr.get("AccessionNumber") or ""):
        resource["basedOn"] = [{"type": "ServiceRequest", "identifier": {"value": accession}}]
    return _checked(resource)


def _checked(resource: dict[str, Any]) -> dict[str, Any]:
    try:
        DiagnosticReport.model_validate(resource)
    except ValueError as error:
        raise NonConformantReport(
            f"the report is no FHIR DiagnosticReport ({type(error).__name__})"
        ) from None
    return resource


def _subject(sr: Dataset) -> dict[str, Any]:
    """Name the patient by number, not by address: servers number their resources as they like."""
    names = str(sr.get("PatientName") or "").split("=")
    shown = next(filter(None, names), "").replace("^", ", ", 1).replace("^", " ").strip(" ,")
    subject: dict[str, Any] = {"type": "Patient"}
    if shown:
        subject["display"] = shown
    if patient_id := str(sr.get("PatientID") or ""):
        subject["identifier"] = {"value": patient_id}
        if issuer := str(sr.get("IssuerOfPatientID") or ""):
            subject["identifier"]["assigner"] = {"display": issuer}
    return subject


def _coded(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _logical(kind: str, system: str, value: str) -> dict[str, Any]:
    return {"type": kind, "identifier": {"system": system, "value": value}}


def _narrative(notice: str, text: str) -> str:
    lines = "<br/>".join(escape(line) for line in text.splitlines())
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><b>{escape(notice)}</b><p>{lines}</p></div>'
