"""A draft becomes an Enhanced SR document (PS3.3 A.35.2)."""

from collections.abc import Sequence
from importlib.metadata import version

import highdicom
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian, generate_uid

from dicom_io.device import DEVICE_UID, MANUFACTURER, MODEL_NAME
from dicom_io.errors import MissingAttribute, NonConformantReport
from reporting.draft import SERIES_NOTICE, Draft, State
from reporting.edition import Predecessor
from reporting.objects.content import content_tree
from reporting.objects.procedure import procedure_of
from reporting.objects.template import check_report
from reporting.patient import copy_identity

# Above what scanners number their series with; the revision tells the drafts of a study apart
SERIES_NUMBER_BASE = 9000

_COMPLETION: dict[State, tuple[str, str]] = {
    "complete": ("COMPLETE", "AI draft, not verified by a physician"),
    "partial": ("PARTIAL", "Incomplete AI draft, not verified by a physician"),
    "abstained": ("PARTIAL", "No findings drafted by the AI, not verified"),
}


@disable_value_validation()  # its warnings would tell the CT's odd values, identifiers among them
def build_sr(draft: Draft, evidence: Sequence[Dataset]) -> Dataset:
    """Write a draft as an Enhanced SR with TID 2000.

    Parameters
    ----------
    draft : Draft
        What the report says. Every edition is a new series; a later one names the one before.
    evidence : sequence of pydicom.Dataset
        Headers of the instances that were given to the model; patient and study come from the
        first one, as they stand.

    Returns
    -------
    pydicom.Dataset
        With `file_meta`; `save_as(path, enforce_file_format=True)` writes it.

    Raises
    ------
    MissingAttribute
        A header lacks one of the UIDs that a reference needs.
    NonConformantReport
        The result breaks the template, or a sentence names a slice outside `evidence`.
    """
    references = [_reference(header) for header in evidence]
    if not references:
        raise MissingAttribute("a report needs at least one instance as evidence")
    _disguise(references[0])
    source = evidence[0]
    try:
        report = _document(draft, references, procedure_of(source))
    except (ValueError, TypeError, KeyError) as error:
        # no identifier can stand in the message: highdicom has seen placeholders only
        raise NonConformantReport(f"highdicom refuses the report: {error}") from error
    dataset = _plain(report)
    _describe(dataset, draft)
    copy_identity(source, dataset)
    check_report(dataset)
    return dataset


def _document(
    draft: Draft, references: Sequence[Dataset], procedure: Code
) -> highdicom.sr.EnhancedSR:
    revision, predecessor = draft.edition.revision, draft.edition.predecessor
    return highdicom.sr.EnhancedSR(
        evidence=references,
        content=content_tree(draft, procedure),
        series_instance_uid=generate_uid(None),
        series_number=SERIES_NUMBER_BASE + revision,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=_software(draft),
        series_description=f"{SERIES_NOTICE}, draft {revision}",
        content_qualification=highdicom.ContentQualificationValues.RESEARCH,
        previous_versions=[_previous(predecessor)] if predecessor else None,
        specific_character_set="ISO_IR 192",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        is_complete=_COMPLETION[draft.state][0] == "COMPLETE",
    )


def _reference(header: Dataset) -> Dataset:
    """Return the UIDs by which a report refers to an instance."""
    reference = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if not header.get(keyword):
            raise MissingAttribute(f"an instance used as evidence lacks {keyword}")
        setattr(reference, keyword, str(header.get(keyword)))
    return reference


def _disguise(reference: Dataset) -> None:
    """Give the first of the evidence an identity, which highdicom copies into the report.

    It is a placeholder, so that no odd value of the CT can stop the report; the CT's own values
    replace it afterwards.
    """
    for keyword in ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(reference, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(reference, keyword, None)


def _plain(report: highdicom.sr.EnhancedSR) -> Dataset:
    """Leave highdicom's class behind: its second copy of the content would go stale unseen."""
    dataset = Dataset()
    dataset.update(report)
    dataset.file_meta = FileMetaDataset(report.file_meta)
    return dataset


def _describe(dataset: Dataset, draft: Draft) -> None:
    moment = draft.edition.written
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for prefix in ("InstanceCreation", "Content", "Series"):
        setattr(dataset, f"{prefix}Date", date)
        setattr(dataset, f"{prefix}Time", time)
    dataset.CompletionFlagDescription = _COMPLETION[draft.state][1]
    dataset.DeviceUID = DEVICE_UID
    dataset.AuthorObserverSequence = [_author()]


def _author() -> Dataset:
    """Name the software as the author (PS3.3 table C.17-3b)."""
    author = Dataset()
    author.ObserverType = "DEV"
    author.StationName = None
    author.DeviceUID = DEVICE_UID
    author.Manufacturer = MANUFACTURER
    author.ManufacturerModelName = MODEL_NAME
    author.InstitutionName = None
    author.InstitutionCodeSequence = []
    return author


def _software(draft: Draft) -> list[str]:
    model = draft.model
    lines = [f"ctscribe {version('ctscribe')}", f"{model.name} {model.version}", model.digest]
    # LO: at most 64 characters, no backslash (PS3.5 6.2)
    return [line.replace("\\", "/").strip()[:64] for line in lines if line.strip()]


def _previous(predecessor: Predecessor) -> Dataset:
    previous = Dataset()
    previous.StudyInstanceUID = predecessor.study_instance_uid
    previous.SeriesInstanceUID = predecessor.series_instance_uid
    previous.SOPInstanceUID = predecessor.sop_instance_uid
    previous.SOPClassUID = EnhancedSRStorage
    return previous
