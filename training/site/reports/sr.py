"""Reports that lie in the study as DICOM Structured Reports (PS3.3 A.35)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from dicom_io.device import is_own
from training.site.reports.reports import SignedReport, Status
from training.site.sources.source import stated

TEXT_CLASSES = (
    BasicTextSRStorage,
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
)

_OBSERVERS = "VerifyingObserverSequence"

# Concept names of sections and of their items, whatever their language (CID 7001, 7002; TID 2000)
_HEADINGS = {
    **dict.fromkeys(("59776-5", "121070", "121071"), "Findings"),
    **dict.fromkeys(("19005-8", "121072", "121073"), "Impression"),
    **dict.fromkeys(("55110-1", "121076", "121077"), "Impression"),
    "55107-7": "Addendum",
    **dict.fromkeys(("18785-6", "121109"), "Indication"),
    **dict.fromkeys(("55111-9", "121064", "121065", "55109-3"), "Procedure"),
    **dict.fromkeys(("11329-0", "121060", "55108-5", "121110"), "History"),
    **dict.fromkeys(("55114-3", "121066", "18834-2", "121068", "121069"), "Comparison"),
    **dict.fromkeys(("18783-1", "121074", "121075"), "Recommendation"),
}


def reports_in(objects: Iterable[Dataset]) -> Iterator[SignedReport]:
    """Read every text report among the objects of a study.

    What this software wrote is passed over, whatever its flags say.

    Parameters
    ----------
    objects : iterable of pydicom.Dataset
        Whole headers; other SOP classes are passed over.
    """
    for dataset in objects:
        if dataset.get("SOPClassUID") in TEXT_CLASSES and not is_own(dataset):
            yield _report(dataset)


def _report(dataset: Dataset) -> SignedReport:
    written = stated(dataset, "ContentDate") + stated(dataset, "ContentTime").partition(".")[0]
    lines = list(_lines(dataset))
    addendum = "Addendum:" in lines and not {"Findings:", "Impression:"} & set(lines)
    return SignedReport(
        accession_number=stated(dataset, "AccessionNumber"),
        text="\n".join(lines),
        status=_status(dataset),
        addendum=addendum,
        written=written,
        patient_ids=(stated(dataset, "PatientID"),),
        replaces=() if addendum else tuple(_predecessors(dataset)),
        name=str(dataset.SOPInstanceUID),
    )


def _status(dataset: Dataset) -> Status:
    """Signed only where every flag says so, and a person did it (PS3.3 C.17.2)."""
    signed = (
        dataset.get("CompletionFlag") == "COMPLETE"
        and dataset.get("VerificationFlag") == "VERIFIED"
        and any(stated(o, "VerifyingObserverName") for o in _items(dataset, _OBSERVERS))
        and dataset.get("PreliminaryFlag") != "PRELIMINARY"
        and dataset.get("ContentQualification") in (None, "", "PRODUCT")
    )
    return "final" if signed else "preliminary"


def _predecessors(dataset: Dataset) -> Iterator[str]:
    """SOP Instance UIDs of the documents that this one replaces (PS3.3 C.17.2)."""
    for study in _items(dataset, "PredecessorDocumentsSequence"):
        for series in _items(study, "ReferencedSeriesSequence"):
            for sop in _items(series, "ReferencedSOPSequence"):
                yield stated(sop, "ReferencedSOPInstanceUID")


def _lines(item: Dataset, under: str = "") -> Iterator[str]:
    """The text of a content tree, sections under headings; names, dates and codes stay out."""
    heading = ""
    for child in _items(item, "ContentSequence"):
        kind, name = child.get("ValueType"), _heading(child)
        if kind == "CONTAINER":
            if name:
                yield f"{name}:"
            yield from _lines(child, name or under)
        elif kind == "TEXT":
            # an item of a section is of that section, whatever it is called
            if name and not under and name != heading:
                yield f"{name}:"
                heading = name
            yield stated(child, "TextValue")


def _heading(item: Dataset) -> str:
    """What a section or text is: by code, else by its meaning."""
    for concept in _items(item, "ConceptNameCodeSequence"):
        return _HEADINGS.get(stated(concept, "CodeValue")) or stated(concept, "CodeMeaning")
    return ""


def _items(dataset: Dataset, keyword: str) -> Iterable[Dataset]:
    return dataset.get(keyword) or ()
