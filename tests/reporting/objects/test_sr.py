from importlib.metadata import version

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dicom_io.device import DEVICE_UID, is_own
from dicom_io.errors import MissingAttribute, NonConformantReport
from reporting.draft import Draft, ImageReference, Section, Sentence
from reporting.edition import Edition, Predecessor
from reporting.objects.render import draft_text, report_sections, report_text
from reporting.objects.sr import build_sr
from reporting.text.headings import Heading
from tests.reporting.studies import MODEL, ct_header, draft_of, reread
from tests.reporting.validators import dciodvfy, dsr

HEADERS = [ct_header(1), ct_header(2)]


def concept(item):
    return item.ConceptNameCodeSequence[0].CodeValue


def findings(*texts, evidence=()):
    sentences = tuple(Sentence(text, evidence=evidence) for text in texts)
    return Draft(draft_of().notices, (Section(Heading.FINDINGS, sentences),), "complete", MODEL)


def test_the_tree_has_the_order_of_the_template():
    sr = build_sr(draft_of(), HEADERS)
    assert concept(sr) == "18748-4"
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    assert sr.ContinuityOfContent == "SEPARATE"
    assert [concept(item) for item in sr.ContentSequence] == [
        *("121058", "121049"),
        *("121005", "121012", "121013"),
        *("55112-7", "19005-8", "59776-5", "55111-9"),
    ]
    names = {concept(s): {concept(t) for t in s.ContentSequence} for s in sr.ContentSequence[-4:]}
    assert names["59776-5"] == {"121071"}
    assert names["19005-8"] == {"121073"}


def test_flags_and_descriptions_say_draft():
    sr = build_sr(draft_of(), HEADERS)
    assert (sr.CompletionFlag, sr.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert sr.PreliminaryFlag == "PRELIMINARY"
    assert sr.CompletionFlagDescription
    assert sr.SeriesDescription == "AI DRAFT UNVERIFIED, draft 1"
    assert sr.ContentQualification == "RESEARCH"
    assert report_sections(sr)[0][1][0].startswith("AI DRAFT - NOT VERIFIED")


@pytest.mark.parametrize(
    "arguments",
    [{"finish_reason": "length"}, {"abstained": "unlike the training"}, {"incomplete": "slices"}],
)
def test_a_draft_that_is_not_whole_is_partial(arguments):
    assert build_sr(draft_of(**arguments), HEADERS).CompletionFlag == "PARTIAL"


def test_device_and_versions_are_named():
    sr = build_sr(draft_of(), HEADERS)
    author = sr.AuthorObserverSequence[0]
    assert (author.ObserverType, author.DeviceUID) == ("DEV", DEVICE_UID)
    assert list(sr.SoftwareVersions) == [
        f"ctscribe {version('ctscribe')}",
        "phantom-med3dvlm 1.0",
        "0123456789abcdef",
    ]


def test_own_reports_are_recognised_and_others_are_not(tmp_path):
    sr = reread(build_sr(draft_of(), HEADERS), tmp_path)
    assert is_own(sr)
    del sr.DeviceUID
    assert is_own(sr)
    assert not is_own(ct_header())


def test_only_the_given_instances_are_evidence():
    (study,) = build_sr(draft_of(), HEADERS).CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.4"
    uids = [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence]
    assert uids == ["1.2.3.4.1", "1.2.3.4.2"]


def test_each_revision_is_a_new_series_that_names_its_predecessor():
    first = build_sr(draft_of(), HEADERS)
    before = Predecessor(first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID)
    second = build_sr(draft_of(edition=Edition(2, predecessor=before)), HEADERS)
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.SeriesNumber == first.SeriesNumber + 1
    series = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in first


def test_slice_evidence_hangs_below_its_text():
    image = ImageReference(HEADERS[0].SOPClassUID, "1.2.3.4.2", 2, 2)
    sr = build_sr(findings("A cyst.", evidence=(image,)), HEADERS)
    text = sr.ContentSequence[-1].ContentSequence[0]
    assert text.TextValue == "A cyst (series 2, image 2)."
    child = text.ContentSequence[0]
    assert (child.RelationshipType, concept(child)) == ("INFERRED FROM", "121080")
    assert child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.2"


def test_evidence_outside_the_given_instances_is_refused():
    stranger = ImageReference(HEADERS[0].SOPClassUID, "9.9")
    with pytest.raises(NonConformantReport):
        build_sr(findings("A cyst.", evidence=(stranger,)), HEADERS)


def test_the_procedure_code_of_the_ct_is_reported():
    item = ct_header()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "CTTHX", "99X", "CT thorax"
    sr = build_sr(draft_of(), [ct_header(ProcedureCodeSequence=[item])])
    assert sr.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "CTTHX"


def test_the_device_says_what_it_is():
    name = build_sr(draft_of(), HEADERS).ContentSequence[4]
    assert name.TextValue == "ctscribe, software that drafts reports, model phantom-med3dvlm 1.0"


def test_no_evidence_is_refused():
    with pytest.raises(MissingAttribute):
        build_sr(draft_of(), [])


def test_a_header_without_a_uid_is_refused_by_name():
    with pytest.raises(MissingAttribute, match="SOPInstanceUID"):
        build_sr(draft_of(), [ct_header(SOPInstanceUID=None)])


def test_the_validators_find_nothing(tmp_path):
    image = ImageReference(HEADERS[0].SOPClassUID, "1.2.3.4.2", 2, 2)
    before = Predecessor("1.2.3", "1.2.9", "1.2.9.1")
    edition = Edition(2, predecessor=before)
    draft = draft_of(finish_reason="length", incomplete="a slice", edition=edition)
    section = Section(Heading.FINDINGS, (Sentence("Größe ≥ 6 mm, Ω, 肝臓.", evidence=(image,)),))
    draft = Draft(draft.notices, (section, draft.sections[-1]), draft.state, MODEL, edition)
    reread(build_sr(draft, HEADERS), tmp_path)
    assert dciodvfy(tmp_path / "report.dcm") == []
    for tool in ("dsrdump", "dsr2html"):
        complaints, shown = dsr(tool, tmp_path / "report.dcm")
        assert complaints == []
        assert "6 mm" in shown


@pytest.mark.parametrize("folder", ["ge_head_tilt", "philips_head/axial_5mm"])
def test_real_studies_give_reports_that_add_no_complaint_of_their_own(cases, folder, tmp_path):
    files = sorted((cases / folder).iterdir())
    headers = [reread_header(path) for path in files]
    sr = build_sr(draft_of(), headers)
    reread(sr, tmp_path)
    complaints = [c for c in dciodvfy(tmp_path / "report.dcm") if not inherited(c, headers[0])]
    assert complaints == []
    assert dsr("dsrdump", tmp_path / "report.dcm")[0] == []
    assert dsr("dsr2html", tmp_path / "report.dcm")[0] == []


def reread_header(path):
    return dcmread(path, stop_before_pixels=True)


def inherited(complaint, header):
    """Tell whether dciodvfy complains of an identity that the CT itself holds, or lacks."""
    if "Retired Person Name form" in complaint:
        return "^" not in str(header.PatientName)
    lacking = {"Study Date": "StudyDate", "Study Time": "StudyTime", "Study ID": "StudyID"}
    name = complaint.rpartition(" - ")[2]
    return "build DICOMDIR" in complaint and not header.get(lacking.get(name, "SOPClassUID"))


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn"]), min_size=1, max_size=80
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS.map(str.strip).filter(bool), min_size=1, max_size=5))
def test_text_survives_the_file_character_by_character(tmp_path, texts):
    read = reread(build_sr(findings(*texts), HEADERS), tmp_path)
    assert report_sections(read)[-1] == ("Findings", texts)


@pytest.mark.parametrize(
    "text", ["Größe ≥ 6 mm", "μ Ω β α", "肝臓に腹水", "a\\b", "naïve – «é»", "<b>&amp;"]
)
def test_accents_greek_japanese_and_backslashes_survive(text, tmp_path):
    read = reread(build_sr(findings(text), HEADERS), tmp_path)
    assert read.SpecificCharacterSet == "ISO_IR 192"
    assert report_sections(read)[-1][1] == [text]
    assert text in report_text(read)


def test_the_screen_shows_what_the_report_holds():
    draft = draft_of()
    shown = draft_text(draft)
    for _, texts in report_sections(build_sr(draft, HEADERS)):
        assert all(text in shown for text in texts)
