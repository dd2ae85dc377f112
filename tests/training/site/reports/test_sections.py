import pytest

from training.site.reports.sections import Sections, find_sections

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
