"""TID 2000 as we write it, checked: order and completeness that no public validator looks at."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from pydicom import Dataset
from pydicom.sr.coding import Code

from dicom_io.errors import NonConformantReport
from reporting.draft import DRAFT_NOTICE, SERIES_NOTICE
from reporting.objects import concepts

_SECTION_ORDER = [concepts.SUMMARY, *concepts.SECTIONS.values()]
_ELEMENTS = {section.value: element.value for section, element in _SECTION_ORDER}
# Rows 2, 3 and 5 of the template, each: relationship, value type, concept
_CONTEXT = [
    ("HAS CONCEPT MOD", "CODE", concepts.PROCEDURE_REPORTED),
    ("HAS CONCEPT MOD", "CODE", concepts.LANGUAGE),
    ("HAS OBS CONTEXT", "CODE", concepts.OBSERVER_TYPE),
    ("HAS OBS CONTEXT", "UIDREF", concepts.DEVICE_OBSERVER_UID),
]
ACCEPTED_SERIES = "AI-assisted report, accepted"
ACCEPTED_NOTICE = "AI-assisted report"
_LIMITS = {"SeriesDescription": 64, "CompletionFlagDescription": 64, "ManufacturerModelName": 64}


def check_report(dataset: Dataset, *, accepted: bool = False) -> None:
    """Refuse a report that breaks its template, or a draft that could be taken for a verified one.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The Enhanced SR that is about to leave.
    accepted : bool
        Whether a physician has accepted it.

    Raises
    ------
    NonConformantReport
        The message lists every fault.
    """
    stated = _acceptance_faults(dataset) if accepted else _draft_faults(dataset)
    notice = ACCEPTED_NOTICE if accepted else DRAFT_NOTICE
    faults = [*stated, *_document_faults(dataset), *_root_faults(dataset)]
    faults += _content_faults(dataset, notice)
    if faults:
        raise NonConformantReport("the report breaks TID 2000: " + "; ".join(faults))


def _draft_faults(dataset: Dataset) -> Iterator[str]:
    for keyword, value in (("VerificationFlag", "UNVERIFIED"), ("PreliminaryFlag", "PRELIMINARY")):
        if dataset.get(keyword) != value:
            yield f"{keyword} must be {value}"
    if not str(dataset.get("SeriesDescription", "")).startswith(SERIES_NOTICE):
        yield f"SeriesDescription must begin with {SERIES_NOTICE}"


def _acceptance_faults(dataset: Dataset) -> Iterator[str]:
    if dataset.get("SeriesDescription") != ACCEPTED_SERIES:
        yield f"SeriesDescription must be {ACCEPTED_SERIES}"
    if not dataset.get("PredecessorDocumentsSequence"):
        yield "the draft must be named as predecessor"
    verified = dataset.get("VerificationFlag") == "VERIFIED"
    if verified != bool(dataset.get("VerifyingObserverSequence")):
        yield "VERIFIED and who verified it go together"


def _document_faults(dataset: Dataset) -> Iterator[str]:
    if dataset.get("SpecificCharacterSet") != "ISO_IR 192":
        yield "SpecificCharacterSet must be ISO_IR 192"
    if dataset.get("CompletionFlag") not in {"COMPLETE", "PARTIAL"}:
        yield "CompletionFlag must be COMPLETE or PARTIAL"
    for keyword, limit in _LIMITS.items():
        if not 0 < len(str(dataset.get(keyword, ""))) <= limit:
            yield f"{keyword} must have 1 to {limit} characters"


def _root_faults(dataset: Dataset) -> Iterator[str]:
    if dataset.get("ValueType") != "CONTAINER" or not _is(dataset, concepts.TITLE):
        yield f"the root must be a container named {concepts.TITLE.meaning}"
    template = dataset.get("ContentTemplateSequence") or [Dataset()]
    if template[0].get("TemplateIdentifier") != concepts.TEMPLATE:
        yield f"the root must name template {concepts.TEMPLATE}"


def _content_faults(dataset: Dataset, notice: str) -> Iterator[str]:
    items = list(dataset.get("ContentSequence") or [])
    head = items[: len(_CONTEXT)]
    for row, (relationship, value_type, name) in enumerate(_CONTEXT):
        if row >= len(head) or not _matches(head[row], relationship, value_type, name):
            yield f"item {row + 1} must be {name.meaning} ({relationship}, {value_type})"
    rest = items[len(_CONTEXT) :]
    sections = [item for item in rest if item.get("ValueType") == "CONTAINER"]
    between = rest[: len(rest) - len(sections)]
    if rest[len(between) :] != sections or not all(
        item.get("RelationshipType") == "HAS OBS CONTEXT" for item in between
    ):
        yield "only observer context may stand between the language and the sections"
    yield from _order_faults(sections)
    for section in sections:
        yield from _section_faults(section, notice)


def _order_faults(sections: Iterable[Dataset]) -> Iterator[str]:
    known = [section.value for section, _ in _SECTION_ORDER]
    found = [_code(section) for section in sections]
    if found != [code for code in known if code in found]:
        yield f"sections must come once each, in the order {', '.join(known)}"
    if found[:1] != known[:1]:
        yield "the first section must be the summary"
    if len(found) < 2:
        yield "a report needs a section beside its summary"


def _section_faults(section: Dataset, notice: str) -> Iterator[str]:
    code = _code(section)
    items = section.get("ContentSequence") or []
    if section.get("RelationshipType") != "CONTAINS" or not items:
        yield f"section {code} must be contained and not be empty"
    if code == concepts.SUMMARY[0].value and items:
        first = str(items[0].get("TextValue", ""))
        if not first.startswith(notice):
            yield f"the first section must begin with {notice}"
    for before, item in pairwise([Dataset(), *items]):
        if _matches(item, "CONTAINS", "CODE", concepts.CONFIDENCE):
            if before.get("ValueType") != "TEXT":
                yield f"a confidence of section {code} must follow a text"
        elif item.get("ValueType") != "TEXT" or item.get("RelationshipType") != "CONTAINS":
            yield f"section {code} must contain texts"
        elif _code(item) != _ELEMENTS.get(code) or not str(item.get("TextValue", "")).strip():
            yield f"a text of section {code} has the wrong name or no value"
        for child in item.get("ContentSequence") or []:
            if not _matches(child, "INFERRED FROM", "IMAGE", concepts.BEST_ILLUSTRATION):
                yield f"evidence of section {code} must be images it was inferred from"


def _matches(item: Dataset, relationship: str, value_type: str, name: Code) -> bool:
    found = (item.get("RelationshipType"), item.get("ValueType"))
    return found == (relationship, value_type) and _is(item, name)


def _is(item: Dataset, name: Code) -> bool:
    names = item.get("ConceptNameCodeSequence") or [Dataset()]
    return (names[0].get("CodeValue"), names[0].get("CodingSchemeDesignator")) == (
        name.value,
        name.scheme_designator,
    )


def _code(item: Dataset) -> str:
    return str((item.get("ConceptNameCodeSequence") or [Dataset()])[0].get("CodeValue", ""))
