"""The report that a radiologist accepted: an object of its own, which names the draft it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import EnhancedSRStorage, generate_uid

from dicom_io.errors import NonConformantReport
from reporting.objects import concepts
from reporting.objects.template import ACCEPTED_SERIES, check_report
from reporting.text.confidence import is_about_confidence, is_suspicion, unmarked
from reporting.text.headings import Heading

# Beyond the drafts' numbers, and such that the other forms' (100 to 300 more) meet none of theirs
SERIES_NUMBER_BASE = 9400
_CONTEXT_NAME = Code("121008", "DCM", "Person Observer Name")
_PERSON = Code("121006", "DCM", "Person")
# The first two of a draft's notices: that nobody has verified it, and which draft it is
_NO_LONGER_TRUE = 2


@dataclass(frozen=True)
class Acceptance:
    """Who accepted a text, and what that means at this site.

    Parameters
    ----------
    by : str
        Name of the radiologist.
    written : datetime
        When, with a time zone.
    number : int
        Which accepted report of its study it is, from 1 on.
    edited : bool
        Whether the text differs from the draft's.
    final : bool
        Whether it is final, and not preliminary.
    verified_for : str, optional
        The organization that the radiologist verifies it for; None where acceptance is no
        verification.
    language : str
        Of the text, one of `concepts.LANGUAGES`.
    """

    by: str
    written: datetime
    number: int = 1
    edited: bool = False
    final: bool = False
    verified_for: str | None = None
    language: str = "en-US"

    @property
    def name(self) -> str:
        """Return the name as DICOM takes one (PS3.5 6.2, PN), all of it as one component.

        Which of its words is the family's nobody knows; the separator at its end says that it is
        no name in the retired form.
        """
        return " ".join(re.sub(r"[\\^=]", " ", self.by).split())[:63] + "^"

    @property
    def sentence(self) -> str:
        """Say what was accepted, by whom and when."""
        what = "edited and accepted" if self.edited else "accepted as it was drafted"
        moment = self.written.isoformat(" ", "minutes")[:16]
        return f"The text was {what} by {self.by} on {moment}."


@disable_value_validation()  # its warnings would tell the CT's odd values, identifiers among them
def accepted_report(
    draft: Dataset,
    texts: Sequence[tuple[Heading, str]],
    acceptance: Acceptance,
    before: Sequence[Dataset] = (),
) -> Dataset:
    """Write the report object of an accepted text.

    Parameters
    ----------
    draft : pydicom.Dataset
        The Enhanced SR that the text began as; patient, study and evidence are its own.
    texts : sequence of (Heading, str)
        The whole text, a paragraph on each line.
    acceptance : Acceptance
        Who accepted it.
    before : sequence of pydicom.Dataset
        Accepted reports of the study that this one takes the place of.

    Returns
    -------
    pydicom.Dataset
        With `file_meta`.

    Raises
    ------
    NonConformantReport
        There is no text, or the result breaks its template.
    """
    made = Dataset()
    made.update(deepcopy(draft))
    made.file_meta = FileMetaDataset(draft.file_meta)
    _name_anew(made, acceptance)
    _state(made, acceptance)
    made.PredecessorDocumentsSequence = [_reference(one) for one in (draft, *before)]
    made.AuthorObserverSequence = [*draft.AuthorObserverSequence, _author(acceptance.name)]
    made.ContentSequence = _content(draft, texts, acceptance)
    check_report(made, accepted=True)
    return made


def _name_anew(made: Dataset, acceptance: Acceptance) -> None:
    made.SOPInstanceUID, made.SeriesInstanceUID = generate_uid(None), generate_uid(None)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.SeriesNumber = SERIES_NUMBER_BASE + acceptance.number
    made.SeriesDescription = ACCEPTED_SERIES
    for prefix in ("InstanceCreation", "Content", "Series"):
        setattr(made, f"{prefix}Date", acceptance.written.strftime("%Y%m%d"))
        setattr(made, f"{prefix}Time", acceptance.written.strftime("%H%M%S"))


def _state(made: Dataset, acceptance: Acceptance) -> None:
    made.CompletionFlag = "COMPLETE"
    made.CompletionFlagDescription = "Accepted by a physician"
    made.PreliminaryFlag = "FINAL" if acceptance.final else "PRELIMINARY"
    made.VerificationFlag = "UNVERIFIED"
    if acceptance.verified_for is not None:
        made.VerificationFlag = "VERIFIED"
        made.VerifyingObserverSequence = [_verifier(acceptance, acceptance.verified_for)]
        made.pop("ContentQualification", None)  # "research" is what no physician answers for


def _verifier(acceptance: Acceptance, organization: str) -> Dataset:
    verifier = Dataset()
    verifier.VerifyingObserverName = acceptance.name
    verifier.VerifyingOrganization = organization
    verifier.VerificationDateTime = acceptance.written.strftime("%Y%m%d%H%M%S%z")
    verifier.VerifyingObserverIdentificationCodeSequence = []
    return verifier


def _author(name: str) -> Dataset:
    """Name a person as an author (PS3.3 table C.17-3b)."""
    author = Dataset()
    author.ObserverType = "PSN"
    author.PersonName = name
    author.PersonIdentificationCodeSequence = []
    author.InstitutionName = None
    author.InstitutionCodeSequence = []
    return author


def _reference(document: Dataset) -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = EnhancedSRStorage
    instance.ReferencedSOPInstanceUID = document.SOPInstanceUID
    series.SeriesInstanceUID = document.SeriesInstanceUID
    series.ReferencedSOPSequence = [instance]
    study.StudyInstanceUID = document.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return study


def _content(
    draft: Dataset, texts: Sequence[tuple[Heading, str]], acceptance: Acceptance
) -> list[Dataset]:
    items = list(draft.ContentSequence)
    context = [deepcopy(one) for one in items if one.ValueType != "CONTAINER"]
    for one in context:
        if one.ConceptNameCodeSequence[0].CodeValue == concepts.LANGUAGE.value:
            one.ConceptCodeSequence = [_code(concepts.LANGUAGES[acceptance.language])]
    summary, *sections = (one for one in items if one.ValueType == "CONTAINER")
    notices = [str(one.TextValue) for one in summary.ContentSequence][_NO_LONGER_TRUE:]
    # Whether the text is true is now the physician's word, not the model's
    notices = [one for one in notices if not (is_about_confidence(one) or is_suspicion(one))]
    lines = [f"AI-assisted report. {acceptance.sentence}", *notices]
    evidence = _evidence(sections)
    found = [_section(concepts.SUMMARY, lines, {})]
    for heading in Heading:
        written = next((text for one, text in texts if one is heading), "")
        paragraphs = [line.strip() for line in written.splitlines() if line.strip()]
        if paragraphs:
            found.append(_section(concepts.SECTIONS[heading], paragraphs, evidence))
    if len(found) == 1:
        raise NonConformantReport("the report has no text")
    return [*context, *_observer(acceptance.name), *found]


def _evidence(sections: Sequence[Dataset]) -> dict[str, Dataset]:
    """Find the items whose text may have been left as it was: it keeps its slices."""
    return {
        unmarked(str(item.TextValue).replace("\r\n", " ")): item
        for section in sections
        for item in section.ContentSequence
        if "ContentSequence" in item
    }


def _section(
    codes: tuple[Code, Code], paragraphs: Sequence[str], evidence: dict[str, Dataset]
) -> Dataset:
    heading, element = codes
    container = _item("CONTAINS", "CONTAINER", heading)
    container.ContinuityOfContent = "SEPARATE"
    container.ContentSequence = []
    for paragraph in paragraphs:
        item = _item("CONTAINS", "TEXT", element)
        item.TextValue = paragraph
        if paragraph in evidence:
            item.ContentSequence = deepcopy(evidence[paragraph].ContentSequence)
        container.ContentSequence.append(item)
    return container


def _observer(name: str) -> list[Dataset]:
    """Name the person beside the device in the context (TID 1002, 1003)."""
    kind = _item("HAS OBS CONTEXT", "CODE", concepts.OBSERVER_TYPE)
    kind.ConceptCodeSequence = [_code(_PERSON)]
    person = _item("HAS OBS CONTEXT", "PNAME", _CONTEXT_NAME)
    person.PersonName = name
    return [kind, person]


def _item(relationship: str, value_type: str, name: Code) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    item.ConceptNameCodeSequence = [_code(name)]
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = code.value, code.meaning
    item.CodingSchemeDesignator = code.scheme_designator
    return item
