import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedSRStorage,
)

from engine.fake import FakeEngine
from plugin.drafting.writing.pipeline import Pipeline
from tests.training.site.structured import (
    ADDENDUM,
    FINDINGS,
    IMPRESSION,
    item,
    section,
    structured_report,
)
from tests.training.site.studies import (
    Patient,
    wanted,
    write_archive,
    write_study,
)
from training.data.store import open_store
from training.site.prepare import prepare_site
from training.site.reports.reports import NoReport, SignedReport, reading_of
from training.site.reports.sr import reports_in


def read(*objects: Dataset) -> list[SignedReport]:
    return list(reports_in(objects))


BODY = (
    item("PNAME", ("121008", "DCM", "Person Observer Name"), PersonName="Doe^Jane"),
    section(("11329-0", "LN", "History"), "Cough"),
    section(FINDINGS, "Liver normal.", "Spleen normal."),
    section(IMPRESSION, "Normal."),
)


@pytest.mark.parametrize(
    "sop_class", [BasicTextSRStorage, EnhancedSRStorage, ComprehensiveSRStorage]
)
def test_sections_are_found_by_their_codes(sop_class):
    (report,) = read(structured_report(*BODY, SOPClassUID=sop_class))
    assert report.status == "final"
    expected = "Findings: Liver normal. Spleen normal.\nImpression: Normal."
    assert reading_of([report]).text == expected


def test_a_text_with_its_own_headings_is_read(tmp_path):
    text = item("TEXT", ("18748-4", "LN", "Report"), TextValue="Befund:\r\na\r\nBeurteilung:\r\nb")
    assert reading_of(read(structured_report(text))).text == "Findings: a\nImpression: b"


def test_number_patient_and_time_are_read():
    (report,) = read(structured_report(*BODY))
    assert (report.accession_number, report.patient_ids) == ("ACC990001", ("MRN770001",))
    assert report.written == "20240301120000"


@pytest.mark.parametrize(
    "flags",
    [
        {"VerificationFlag": "UNVERIFIED"},
        {"CompletionFlag": "PARTIAL"},
        {"PreliminaryFlag": "PRELIMINARY"},
        {"ContentQualification": "RESEARCH"},
        {"VerifyingObserverSequence": Sequence()},
    ],
)
def test_what_no_person_has_signed_is_preliminary(flags):
    (report,) = read(structured_report(*BODY, **flags))
    assert report.status == "preliminary"


def test_other_objects_are_no_reports():
    assert read(structured_report(*BODY, SOPClassUID=CTImageStorage)) == []


def test_a_report_that_names_its_predecessor_replaces_it():
    old = structured_report(section(FINDINGS, "old"), SOPInstanceUID="1.2.1")
    sop, series, study = Dataset(), Dataset(), Dataset()
    sop.ReferencedSOPInstanceUID = "1.2.1"
    series.ReferencedSOPSequence = Sequence([sop])
    study.ReferencedSeriesSequence = Sequence([series])
    new = structured_report(
        section(FINDINGS, "new"), PredecessorDocumentsSequence=Sequence([study])
    )
    assert reading_of(read(old, new)).text == "Findings: new"


def test_an_addendum_document_is_joined():
    report = structured_report(*BODY)
    addendum = structured_report(section(ADDENDUM, "A cyst."), ContentDate="20240302")
    text = reading_of(read(report, addendum)).text
    assert text.endswith("Impression: Normal. A cyst.")


def test_a_draft_of_this_software_is_never_a_report_even_if_its_flags_are_changed(tmp_path):
    folder = write_study(tmp_path / "study", Patient(1))
    draft = Pipeline(FakeEngine()).make_report([folder]).sr
    assert read(draft) == []
    draft.VerificationFlag, draft.ContentQualification = "VERIFIED", "PRODUCT"
    assert read(draft) == []
    del draft.DeviceUID
    assert read(draft) == []


def test_a_study_of_drafts_alone_has_no_report(tmp_path):
    patients = [Patient(number) for number in range(1, 4)]
    archive = write_archive(tmp_path / "archive", patients)
    for patient in patients[:2]:
        folder = next(archive.glob(f"{patient.family}_*"))
        structured_report(*BODY, patient=patient).save_as(
            folder / "report.dcm", enforce_file_format=True
        )
    folder = next(archive.glob(f"{patients[2].family}_*"))
    draft = Pipeline(FakeEngine()).make_report([folder]).sr
    draft.save_as(folder / "draft.dcm", enforce_file_format=True)
    outcome = prepare_site(wanted(archive), tmp_path / "out", tmp_path / "work", accept_all=True)
    assert (outcome.taken, list(outcome.rejected.values())) == (2, ["no report"])
    texts = set(open_store(tmp_path / "out").texts.values())
    assert texts == {"Findings: Liver normal. Spleen normal.\nImpression: Normal."}


def test_two_reports_without_an_order_are_refused():
    first, second = (structured_report(section(FINDINGS, text)) for text in ("a", "b"))
    with pytest.raises(NoReport, match="cannot be told"):
        reading_of(read(first, second))
