"""Structured Reports that a radiologist has signed, unless told otherwise."""

from __future__ import annotations

from pydicom import Dataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from tests.training.site.studies import Patient

FINDINGS, IMPRESSION = ("121070", "DCM", "Befunde"), ("19005-8", "LN", "Impressions")
FINDING = ("121071", "DCM", "Finding")
ADDENDUM = ("55107-7", "LN", "Addendum")
VERIFIED = {"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED"}


def item(kind: str, concept: tuple[str, str, str], **attributes) -> Dataset:
    node = Dataset()
    node.RelationshipType, node.ValueType = "CONTAINS", kind
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = concept
    node.ConceptNameCodeSequence = Sequence([code])
    for keyword, value in attributes.items():
        setattr(node, keyword, value)
    return node


def section(concept: tuple[str, str, str], *texts: str) -> Dataset:
    children = [item("TEXT", FINDING, TextValue=text) for text in texts]
    return item("CONTAINER", concept, ContentSequence=Sequence(children))


def structured_report(*content: Dataset, patient: Patient | None = None, **flags) -> Dataset:
    patient = patient or Patient(1)
    report = Dataset()
    report.SOPClassUID = flags.pop("SOPClassUID", BasicTextSRStorage)
    report.SOPInstanceUID = flags.pop("SOPInstanceUID", generate_uid())
    report.StudyInstanceUID, report.SeriesInstanceUID = patient.study_uid, generate_uid()
    report.Modality, report.PatientID = "SR", patient.id
    report.PatientName = f"{patient.family}^Anton"
    report.AccessionNumber = patient.accession
    report.ContentDate, report.ContentTime = "20240301", "120000.25"
    observer = Dataset()
    observer.VerifyingObserverName = "Doe^Jane"
    report.VerifyingObserverSequence = Sequence([observer])
    report.ContentSequence = Sequence(content)
    for keyword, value in {**VERIFIED, **flags}.items():
        setattr(report, keyword, value)
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return report
