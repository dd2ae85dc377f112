"""A rejection note rejects the draft, under the new identity, and is a valid object."""

from __future__ import annotations

from pydicom import dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_io.archives.dimse import Dimse
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.device import is_own
from reporting.objects.rejection import rejection_note
from reporting.objects.sr import build_sr
from tests.orthanc import RunningOrthanc
from tests.reporting.studies import ct_header, draft_of
from tests.reporting.validators import dciodvfy


def test_it_rejects_the_draft_under_the_corrected_identity_and_is_valid(tmp_path):
    draft = build_sr(draft_of(), [ct_header()])
    corrected = ct_header(PatientID="4711", PatientName="Doe^Jane", AccessionNumber="A2")
    rejection_note(draft, corrected).save_as(tmp_path / "note.dcm", enforce_file_format=True)
    note = dcmread(tmp_path / "note.dcm")
    assert note.SOPClassUID == KeyObjectSelectionDocumentStorage
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113037", "DCM")
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (reference,) = series.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == draft.SOPInstanceUID
    assert series.SeriesInstanceUID == draft.SeriesInstanceUID
    assert study.StudyInstanceUID == note.StudyInstanceUID == draft.StudyInstanceUID
    assert (note.PatientID, note.PatientName, note.AccessionNumber) == ("4711", "Doe^Jane", "A2")
    assert is_own(note)
    assert dciodvfy(tmp_path / "note.dcm", "KeyObjectSelectionDocument") == []


def test_orthanc_keeps_it_beside_the_draft(tmp_path, orthanc: RunningOrthanc):
    draft = build_sr(draft_of(), [ct_header()])
    note = rejection_note(draft, ct_header())
    archive = Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC")
    for name, report in (("draft.dcm", draft), ("note.dcm", note)):
        report.save_as(tmp_path / name, enforce_file_format=True)
        archive.store(tmp_path / name)
        header = dcmread(tmp_path / name)
        found = archive.find(InstanceReference.of(header))
        assert judge(found, identity_of(header)) is Verdict.PROVED


def test_under_an_identity_that_cannot_be_read_it_is_filed_as_the_draft_was():
    draft = build_sr(draft_of(), [ct_header(PatientID="1")])
    assert rejection_note(draft, ct_header(PatientID="a\nb")).PatientID == "1"


def test_what_stands_beside_a_draft_is_rejected_with_it() -> None:
    draft, beside = build_sr(draft_of(), [ct_header()]), build_sr(draft_of(), [ct_header()])
    note = rejection_note(draft, ct_header(), [beside])
    rejected = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in note.ContentSequence
        if item.ValueType == "COMPOSITE"
    ]
    assert rejected == [draft.SOPInstanceUID, beside.SOPInstanceUID]
