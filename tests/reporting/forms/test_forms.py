"""The forms that archives keep: each is judged by a validator or a reader of its own."""

import subprocess
from pathlib import Path

import pypdfium2
import pytest
from pydicom import dcmread
from pydicom.uid import BasicTextSRStorage

from dicom_io.device import is_own, uid_in_form
from reporting.edition import Edition, Predecessor
from reporting.forms.image import page_image
from reporting.forms.pdf import encapsulated_pdf
from reporting.forms.text_sr import text_sr
from reporting.objects.render import report_sections, report_text
from reporting.objects.sr import build_sr
from tests.reporting.studies import ct_header, draft_of, reread
from tests.reporting.validators import dciodvfy, dsr
from tests.services import require

NAMES = ["Müller^Jürgen", "Люксембург", "Διονυσιος", "Yamada^Tarou=山田^太郎=やまだ^たろう"]
NAMES += ["김^희중"]
FORMS = {
    "text-sr": (text_sr, "BasicTextSR"),
    "pdf": (encapsulated_pdf, "EncapsulatedPDF"),
    "image": (page_image, "SCImage"),
}


def report(**attributes):
    before = Predecessor("1.2.3", "1.2.9", "1.2.9.1", 1)
    draft = draft_of(edition=Edition(2, predecessor=before))
    header = ct_header(SpecificCharacterSet="ISO_IR 192", **attributes)
    return build_sr(draft, [header])


def pages_of(made):
    with pypdfium2.PdfDocument(made.EncapsulatedDocument) as document:
        return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def text_of(made):
    return " ".join(pages_of(made))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_a_validator_finds_nothing(form, name, tmp_path):
    make, iod = FORMS[form]
    reread(make(report(PatientName=name, StudyDescription="Thorax")), tmp_path)
    assert dciodvfy(tmp_path / "report.dcm", iod) == []


@pytest.mark.parametrize("form", FORMS)
def test_patient_study_and_maker_are_those_of_the_report(form, tmp_path):
    sr = report(PatientID=" x-12", TimezoneOffsetFromUTC="+0930")
    made = reread(FORMS[form][0](sr), tmp_path)
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
        assert made.get(keyword) == sr.get(keyword)
    assert made.SeriesDescription == "AI DRAFT UNVERIFIED, draft 2"
    assert made.TimezoneOffsetFromUTC == "+0930"
    assert is_own(made)


@pytest.mark.parametrize("form", FORMS)
def test_made_again_it_is_the_same_object(form):
    sr = report()
    one, other = (FORMS[form][0](sr) for _ in range(2))
    assert one == other
    assert one.SOPInstanceUID == uid_in_form(sr.SOPInstanceUID, form)
    assert one.SOPInstanceUID != sr.SOPInstanceUID
    assert one.SeriesInstanceUID != sr.SeriesInstanceUID


def test_a_text_sr_says_the_same_and_is_read_by_dcmtk(tmp_path):
    sr = report()
    made = reread(text_sr(sr), tmp_path)
    assert made.SOPClassUID == BasicTextSRStorage
    assert report_sections(made) == report_sections(sr)
    (before,) = made.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    uid = before.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert uid == uid_in_form("1.2.9.1", "text-sr")
    complaints, shown = dsr("dsrdump", tmp_path / "report.dcm")
    assert complaints == []
    assert "AI DRAFT - NOT VERIFIED" in shown


def test_a_pdf_holds_the_notice_and_every_text():
    sr = report()
    text = text_of(encapsulated_pdf(sr))
    assert text.startswith("AI DRAFT - NOT VERIFIED")
    for _, lines in report_sections(sr):
        assert all(" ".join(line.split()) in text for line in lines)
    assert "Patient: Doe Jane" in text
    assert "Patient ID: 4711" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_pdf_shows_names_of_other_scripts(name):
    text = text_of(encapsulated_pdf(report(PatientName=name)))
    shown = name.replace("^", " ").replace("=", " / ")
    assert shown.replace(" ", "") in text.replace(" ", "")


def test_a_name_that_no_font_holds_is_not_shown_in_part():
    text = text_of(encapsulated_pdf(report(PatientName="สมชาย")))
    assert "Patient: (in a script that this page cannot show)" in text


def test_poppler_reads_the_pdf(tmp_path):
    require(Path("/usr/bin/pdftotext").is_file(), "pdftotext")
    made = encapsulated_pdf(report(PatientName="山田^太郎"))
    (tmp_path / "a.pdf").write_bytes(made.EncapsulatedDocument)
    done = subprocess.run(
        ["pdftotext", tmp_path / "a.pdf", "-"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("AI DRAFT - NOT VERIFIED")


def test_an_image_is_a_legible_page(tmp_path):
    pixels = reread(page_image(report()), tmp_path).pixel_array
    assert pixels.shape == (1754, 1241)
    assert pixels[0, 0] == 255
    # The notice stands in the uppermost tenth, and something dark is written there
    assert pixels[: len(pixels) // 10].min() < 128


def test_a_long_report_goes_on_on_a_second_page():
    text = "Findings: " + " ".join(f"Lesion number {n} is present." for n in range(90))
    sr = build_sr(draft_of(text), [ct_header()])
    made = encapsulated_pdf(sr)
    pages = pages_of(made)
    assert len(pages) > 1
    assert all(page.startswith("AI DRAFT - NOT VERIFIED") for page in pages)
    assert all("AI DRAFT - NOT VERIFIED - page" in page for page in pages)
    assert page_image(sr).Rows > 1754
    assert "Lesion number 89" in report_text(sr)


def test_a_file_is_read_back_as_written(tmp_path):
    made = encapsulated_pdf(report())
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert dcmread(tmp_path / "a.dcm").EncapsulatedDocument == made.EncapsulatedDocument
