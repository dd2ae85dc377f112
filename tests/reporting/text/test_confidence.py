import pytest
from pydicom.sr.coding import Code

from dicom_io.errors import NonConformantReport
from reporting.draft import ImageReference, assertions_in
from reporting.edition import Edition
from reporting.forms.diagnostic_report import diagnostic_report
from reporting.forms.oru import oru_message
from reporting.forms.text_sr import text_sr
from reporting.objects import concepts
from reporting.objects.accepted import Acceptance, accepted_report
from reporting.objects.render import draft_text, report_sections
from reporting.objects.sr import build_sr
from reporting.objects.template import check_report
from reporting.text.confidence import WITHHELD, Assessed, unmarked
from reporting.text.headings import Heading
from tests.reporting.studies import ct_header, draft_of, reread
from tests.reporting.validators import dciodvfy, dsr

TEXT = (
    "Findings: There is ascites. No nodule. No pneumothorax. No fracture. The spleen is small. "
    "Impression: Ascites."
)
LEVELS = ["low", "high", "medium", "high", None, "low"]
HEADERS = [ct_header(1), ct_header(2)]
SET = "300 phantoms"


def assessed(levels=LEVELS, **options):
    spans = assertions_in(TEXT)
    known = {span: level for span, level in zip(spans, levels, strict=True) if level}
    return Assessed(known, **{"calibrated_on": SET} | options)


def draft(**options):
    return draft_of(TEXT, **{"assessed": assessed()} | options)


def items_of(sr, heading):
    name, _ = concepts.SECTIONS[heading]
    (section,) = (
        one for one in sr.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == name.value
    )
    return [
        one.TextValue if one.ValueType == "TEXT" else one.ConceptCodeSequence[0].CodeMeaning
        for one in section.ContentSequence
    ]


def test_what_the_model_is_not_sure_of_says_so():
    text = draft_text(draft())
    assert "There is ascites [confidence: low]." in text
    assert "No pneumothorax [confidence: medium]." in text
    assert "The spleen is small [confidence: not assessed]." in text
    assert "No nodule. No fracture." in text
    said = "Confidence: high, except where a sentence says otherwise. Calibrated on 300 phantoms."
    assert said in text


def test_it_stands_behind_the_slices():
    sentence = draft().sections[1].sentences[0]
    image = ImageReference("1.2", "1.2.3", 2, 7)
    shown = type(sentence)(sentence.text, evidence=(image,), confidence="low").shown
    assert shown == "There is ascites (series 2, image 7) [confidence: low]."
    assert unmarked(shown) == "There is ascites (series 2, image 7)."


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Assessed(), "Confidence: uncalibrated."),
        (Assessed({(0, 1): "low"}), "Confidence: uncalibrated."),
        (Assessed(calibrated_on=SET), "Confidence: not assessed."),
        (assessed(failed=True), "Confidence: not assessed."),
    ],
)
def test_without_a_calibration_no_sentence_carries_a_word(told, said):
    made = draft(assessed=told)
    assert said in made.notices
    assert not any(one.confidence for section in made.sections for one in section.sentences)
    assert draft_text(made).lower().count("confidence") == 1


def test_a_draft_that_nobody_asked_about_says_nothing_of_it():
    assert "onfidence" not in draft_text(draft(assessed=None))
    assert "onfidence" not in draft_text(draft(abstained="unlike the training"))


def test_what_is_not_mentioned_is_named():
    made = draft(assessed=assessed(unmentioned=("nodule", "renal stone")))
    assert made.notices[-1] == "Not mentioned, but possibly present: nodule, renal stone."
    assert (made.state, made.faults) == ("complete", ())


def test_the_report_object_says_it_in_codes(tmp_path):
    sr = reread(build_sr(draft(), HEADERS), tmp_path)
    assert items_of(sr, Heading.FINDINGS) == [
        *("There is ascites [confidence: low].", "Low"),
        "The spleen is small [confidence: not assessed].",
        *("No pneumothorax [confidence: medium].", "Medium"),
        *("No nodule. No fracture.", "High"),
    ]
    assert items_of(sr, Heading.IMPRESSION) == ["Ascites [confidence: low].", "Low"]
    assert dciodvfy(tmp_path / "report.dcm") == []
    complaints, shown = dsr("dsrdump", tmp_path / "report.dcm")
    assert complaints == []
    assert 'CODE:(,,"Certainty of Finding")=(62482003,SCT,"Low")' in shown


def test_the_older_class_keeps_the_codes(tmp_path):
    sr = reread(text_sr(build_sr(draft(), HEADERS)), tmp_path)
    assert items_of(sr, Heading.IMPRESSION)[1] == "Low"
    assert dciodvfy(tmp_path / "report.dcm", "BasicTextSR") == []


def test_every_other_form_says_it_in_its_text():
    sr = build_sr(draft(), HEADERS)
    assert "Ascites [confidence: low]." in diagnostic_report(sr)["conclusion"]
    assert "There is ascites [confidence: low]." in oru_message(sr)
    assert "No nodule. No fracture." in dict(report_sections(sr))["Findings"]


def test_a_code_stands_behind_a_text_only():
    sr = build_sr(draft(), HEADERS)
    findings = sr.ContentSequence[-2].ContentSequence
    findings.insert(0, findings.pop(1))
    with pytest.raises(NonConformantReport, match="must follow a text"):
        check_report(sr)


def test_the_codes_are_those_of_the_standard_where_it_has_them():
    from pydicom.sr.codedict import codes

    assert Code(*codes.DCM.CertaintyOfFinding[:3]) == concepts.CONFIDENCE
    assert concepts.LEVELS["high"] == Code(*codes.SCT.High[:3])
    assert concepts.LEVELS["medium"] == Code(*codes.SCT.Medium[:3])
    assert concepts.LEVELS["low"] == Code(*codes.SCT.Low[:3])


def test_what_is_withheld_is_in_no_report_but_kept():
    made = draft(assessed=assessed(withhold=True))
    text = draft_text(made)
    assert "scites" not in text
    assert "Confidence is low in 2 sentences, withheld from this draft." in made.notices
    kept = [(one.heading, [s.text for s in one.sentences]) for one in made.withheld]
    assert kept == [(Heading.IMPRESSION, ["Ascites."]), (Heading.FINDINGS, ["There is ascites."])]
    assert [one.text for one in made.sections[0].sentences] == [WITHHELD]
    assert made.state == "complete"


def test_a_draft_of_which_all_is_withheld_says_so():
    made = draft(assessed=assessed(["low"] * len(LEVELS), withhold=True))
    impressions, findings, _ = made.sections
    assert impressions.sentences == findings.sentences
    assert build_sr(made, HEADERS)


def test_an_accepted_report_has_the_physicians_word_alone():
    image = ImageReference(HEADERS[0].SOPClassUID, HEADERS[0].SOPInstanceUID, 2, 1)
    (span, *_) = assertions_in(TEXT)
    told = assessed(unmentioned=("nodule",))
    sr = build_sr(draft(assessed=told, evidence={span: [image]}), HEADERS)
    lines = [(Heading.FINDINGS, "There is ascites (series 2, image 1).\nNo fracture.")]
    made = accepted_report(sr, lines, Acceptance("Dr. Roe", Edition().written))
    assert "onfidence" not in str(made)
    assert "possibly" not in str(made)
    first, _ = made.ContentSequence[-1].ContentSequence
    assert first.ContentSequence[0].ValueType == "IMAGE"
