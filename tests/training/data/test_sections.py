import pytest

from training.data.sections import Sections, find_sections

LANGUAGES = {
    "English": "TECHNIQUE: CT.\nFINDINGS:\nLiver normal.\nIMPRESSION:\nNormal study.\nSigned by: X",
    "German": "Klinische Angaben: Husten\nBefund:\nLiver normal.\nBeurteilung:\nNormal study.\n"
    "Mit freundlichen Grüßen\nX",
    "French": "INDICATION : toux\nRÉSULTATS :\nLiver normal.\nCONCLUSION :\nNormal study.\n"
    "Signé par : X",
    "Spanish": "TÉCNICA: TC\nHALLAZGOS: Liver normal.\nIMPRESIÓN DIAGNÓSTICA: Normal study.\n"
    "Firmado por: X",
    "one line": "CT of X. Findings: Liver normal. Impression: Normal study. Signature: X",
    "marks": "**Findings**\nLiver normal.\n**Impression**: Normal study.\n* Signature *\nX",
    "numbers": "1. Technique\nX\n2. Findings\nLiver normal.\n3. Conclusions\nNormal study.",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_findings_and_impression_are_found_in(language):
    found = find_sections(LANGUAGES[language])
    assert found == Sections("Liver normal.", "Normal study.")
    assert found.text == "Findings: Liver normal.\nImpression: Normal study."


def test_a_text_without_headings_is_all_findings():
    found = find_sections("Liver normal.\nAn incidental finding: a cyst.")
    assert found == Sections("Liver normal. An incidental finding: a cyst.", headed=False)


def test_a_report_heading_is_findings_only_where_there_are_none():
    assert find_sections("History: x\nReport: Liver normal.").findings == "Liver normal."
    assert find_sections("REPORT\nMiller, John\nFindings: a").findings == "a"


def test_headings_without_findings_or_impression_leave_nothing():
    assert find_sections("Technique: CT.\nHistory: cough.").text == ""


def test_an_accent_may_be_a_character_of_its_own():
    assert find_sections("RE\u0301SULTATS : foie normal").findings == "foie normal"


@pytest.mark.parametrize(
    "addendum",
    [
        "Addendum: A cyst.",
        "NACHTRAG: A cyst.",
        "Additif : A cyst.",
        "Adenda: A cyst.",
    ],
)
def test_an_addendum_without_headings_is_joined_to_the_impression(addendum):
    found = find_sections(f"Findings: Liver.\nImpression: Normal.\n{addendum}")
    assert found == Sections("Liver.", "Normal. A cyst.")


def test_the_sections_of_an_addendum_take_the_place_of_the_reports():
    found = find_sections("Findings: a\nImpression: b\nAddendum:\nImpression: c")
    assert found == Sections("a", "c")


def test_an_addendum_above_the_report_is_joined_too():
    found = find_sections("Addendum: late.\nOriginal report:\nFindings: a\nImpression: b")
    assert found == Sections("a", "b late.")


def test_a_text_that_is_only_an_addendum_says_so_by_having_no_headings():
    assert find_sections("ADDENDUM:\nA cyst.") == Sections("A cyst.", headed=False)


@pytest.mark.parametrize(
    ("report", "findings"),
    [
        ("INDICATION: Fall.\n\nCOMPARISON: None.\n\nNo fracture is seen.", "No fracture is seen."),
        ("Comparison: CT of May.\nThe liver is large.", "The liver is large."),
        ("COMPARISON: None. The liver is large. No ascites.", "The liver is large. No ascites."),
        ("TECHNIQUE: Native.\n\nCT CHEST WITHOUT CONTRAST: A nodule.", "A nodule."),
        ("COMPARISON: None.\n\nCHEST, AP: A tube.\n\nSIGNED BY: Dr. Doe", "A tube."),
        ("Befund der Klinik\n\nVergleich: CT vom Mai.\nKein Erguss.", "Kein Erguss."),
        ("LETTERHEAD\n\nThe lungs are clear.\n\nSigned by: Dr. Doe", "The lungs are clear."),
        ("EXAM: CT chest.\n\nThe lungs are clear.\n\nFINDINGS:\n", "The lungs are clear."),
        ("COMPARISON: No fracture. The rod is intact.\n\nFINDINGS:\n", "The rod is intact."),
    ],
)
def test_findings_without_a_heading_are_kept(report, findings):
    assert find_sections(report).findings == findings


def test_findings_without_a_heading_are_kept_beside_an_impression():
    sections = find_sections("COMPARISON: None.\n\nA nodule of 4 mm.\n\nIMPRESSION: Nodule.")
    assert (sections.findings, sections.impression) == ("A nodule of 4 mm.", "Nodule.")


@pytest.mark.parametrize(
    "report",
    [
        "TECHNIQUE: Native.\n\nINDICATION: Fall.\n\nNOTIFICATION: Told at noon.\n\nBy phone.",
        "HOSPITAL OF A TOWN\n\nIndication: Cough.",
        "Findings:\n\nImpression:",
    ],
)
def test_what_holds_no_findings_gives_none(report):
    assert find_sections(report).text == ""


def test_a_technique_of_two_paragraphs_is_none_where_findings_are_headed():
    report = "TECHNIQUE: Native.\n\nDose 3 mGy.\n\nFINDINGS: Normal."
    assert find_sections(report).text == "Findings: Normal."


@pytest.mark.parametrize(
    ("report", "findings"),
    [
        ("TECHNIQUE: CT.\nLungs: 5 mm nodule.\nPleura: No effusion.\nIMPRESSION: x", (
            "Lungs: 5 mm nodule. Pleura: No effusion.")),
        ("Technik: nativ.\nThorax: Kein Infiltrat.\nAbdomen: Leberzyste 2 cm.", (
            "Thorax: Kein Infiltrat. Abdomen: Leberzyste 2 cm.")),
        ("Compte rendu :\nTechnique : spirale.\nPas d'embolie.", "Pas d'embolie."),
        ("FINDINGS: No clot. Comparison: none available. Old infarct left.", (
            "No clot. Old infarct left.")),
        ("CT\n\nThere is a filling defect.\n\nOpinion\nPE.", "There is a filling defect."),
        ("RESULT: Small effusion.\nCONCLUSION: Effusion.", "Small effusion."),
        ("Clinical: pneumothorax.\nResult: no pneumothorax.", "no pneumothorax."),
    ],
)  # fmt: skip
def test_findings_are_not_swallowed_by_what_stands_before(report, findings):
    assert find_sections(report).findings == findings
