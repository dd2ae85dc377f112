"""A draft as an HL7 v2.5.1 message ORU^R01, for systems that know no DICOM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

from pydicom import Dataset

from reporting.forms.source import notice_of, writer, written_at
from reporting.objects.render import report_sections

# HL7 v2.5.1 2.7.1; a line break inside a value is the formatting command .br
_ESCAPES = str.maketrans(
    {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\n": "\\.br\\"}
)
# LOINC codes of the sections, by the meanings that the SR has
_SECTIONS = {
    "Summary": "55112-7",
    "Impressions": "19005-8",
    "Findings": "59776-5",
    "Current Procedure Descriptions": "55111-9",
}
# MSH-10 has room for 20 characters
_CONTROL_ID = 20
# Table 0123 for the report: preliminary, a correction of the one before, or final; table 0085 for
# its parts, which are corrections where a final report is corrected, and stay preliminary in drafts
PRELIMINARY, CORRECTION, FINAL = "P", "C", "F"


@dataclass(frozen=True)
class Names:
    """Who sends and who receives (MSH-3 to MSH-6)."""

    sending_application: str = "CTSCRIBE"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""


def control_id(sr: Dataset) -> str:
    """Return MSH-10: one for each draft, the same whenever it is sent again."""
    return uuid5(NAMESPACE_OID, str(sr.SOPInstanceUID)).hex[:_CONTROL_ID].upper()


def oru_message(sr: Dataset, names: Names | None = None) -> str:
    """Write the message of a report, its segments ended by CR.

    Parameters
    ----------
    sr : pydicom.Dataset
        The Enhanced SR.
    names : Names, optional
        Of sender and receiver.
    """
    segments = [_header(sr, names or Names()), _patient(sr), ("PV1", "1", "U"), _order(sr)]
    return "".join("|".join(fields).rstrip("|") + "\r" for fields in (*segments, *_results(sr)))


def _header(sr: Dataset, names: Names) -> Sequence[str]:
    ends = (
        *(names.sending_application, names.sending_facility),
        *(names.receiving_application, names.receiving_facility),
    )
    sent = _moment(written_at(sr))
    kind = "ORU^R01^ORU_R01"
    return (
        *("MSH", "^~\\&", *map(_text, ends), sent, "", kind, control_id(sr), "P", "2.5.1"),
        *("", "", "AL", "NE", "", "UNICODE UTF-8"),
    )


def _patient(sr: Dataset) -> Sequence[str]:
    issuer = sr.get("IssuerOfPatientID")
    identifier = f"{_text(sr.get('PatientID'))}^^^{_text(issuer)}".rstrip("^")
    name = "~".join(filter(None, map(_person, str(sr.get("PatientName") or "").split("="))))
    return "PID", "1", "", identifier, "", name, "", _text(sr.get("PatientBirthDate")), _sex(sr)


def _order(sr: Dataset) -> Sequence[str]:
    code = sr.ContentSequence[0].ConceptCodeSequence[0]
    procedure = (code.get("CodeValue"), code.get("CodeMeaning"), code.get("CodingSchemeDesignator"))
    accession = _text(sr.get("AccessionNumber"))
    fields = dict.fromkeys(range(1, 26), "")
    fields[1] = "1"
    # The order's number; where there is none, the study's, so that a correction finds its report
    fields[3] = accession or _text(sr.StudyInstanceUID)
    fields[4] = "^".join(map(_text, procedure))
    fields[7] = f"{_text(sr.get('StudyDate'))}{_text(sr.get('StudyTime')).partition('.')[0]}"
    fields[18] = accession
    fields[22] = _moment(written_at(sr))
    fields[24] = "CT"  # table 0074: CAT scan
    fields[25] = _status(sr)
    return "OBR", *fields.values()


def _status(sr: Dataset) -> str:
    """Return OBR-25: a final report corrects only another accepted one, and not its draft."""
    before = len(sr.get("PredecessorDocumentsSequence") or [])
    if sr.PreliminaryFlag == "FINAL":
        return FINAL if before < 2 else CORRECTION
    return CORRECTION if before else PRELIMINARY


def _results(sr: Dataset) -> Iterator[Sequence[str]]:
    """The study that is meant, then every text of the report, a segment each."""
    parts = [("HD", "113014^DICOM Study^DCM", _text(sr.StudyInstanceUID))]
    parts += [
        ("TX", f"{_SECTIONS.get(heading, '18748-4')}^{heading}^LN", _text(text))
        for heading, texts in report_sections(sr)
        for text in texts
    ]
    for number, (kind, name, value) in enumerate(parts, 1):
        observer = _text(f"{notice_of(sr)}. {writer(sr)}")
        status = _status(sr) if sr.PreliminaryFlag == "FINAL" else PRELIMINARY
        yield (
            *("OBX", str(number), kind, name, str(number), value, "", "", "", "", "", status),
            *("", "", "", "", "", "", observer),
        )


def _person(group: str) -> str:
    """Turn a group of a DICOM name into one of HL7, where the suffix stands before the prefix."""
    family, given, middle, prefix, suffix = [*group.split("^"), "", "", "", "", ""][:5]
    return "^".join(map(_text, (family, given, middle, suffix, prefix))).rstrip("^")


def _sex(sr: Dataset) -> str:
    """PID-8 by table 0001; what DICOM has besides is not known there."""
    sex = str(sr.get("PatientSex") or "")
    return sex if sex in ("M", "F", "O") else "U"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S%z}"


def _text(value: object) -> str:
    """Escape a value; what would end a segment or a message cannot stand in it."""
    text = "" if value is None else str(value)
    kept = "".join(c for c in text.replace("\r\n", "\n") if c == "\n" or c.isprintable())
    return kept.translate(_ESCAPES)
