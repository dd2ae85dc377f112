import pytest

from reporting.text.headings import heading_spans


def parse(text):
    found = [(str(name), text[start:end].strip()) for name, (start, end) in heading_spans(text)]
    return [(name, body) for name, body in found if body]


@pytest.mark.parametrize(
    "text",
    [
        "Technique: axial. Findings: Ascites. Impression: Bad.",
        "TECHNIQUE: axial.\nFINDINGS:\nAscites.\n\nIMPRESSION:\nBad.",
        "technique: axial. findings: Ascites. impressions: Bad.",
        "**Technique:** axial. **Findings:** Ascites. **Impression:** Bad.",
        "# Technique\naxial.\n# Findings\nAscites.\n# Impression\nBad.",
    ],
)
def test_the_three_headings_are_found_in_any_case_and_dress(text):
    assert parse(text) == [
        ("Technique", "axial."),
        ("Findings", "Ascites."),
        ("Impression", "Bad."),
    ]


def test_text_without_headings_is_findings():
    assert parse("Ascites. No nodule.") == [("Findings", "Ascites. No nodule.")]


def test_text_before_the_first_heading_is_findings():
    assert parse("Ascites. Impression: Bad.") == [("Findings", "Ascites."), ("Impression", "Bad.")]


def test_a_heading_needs_no_stop_before_it_when_it_has_a_capital():
    text = "Technique: axial Findings: Ascites"
    assert parse(text) == [("Technique", "axial"), ("Findings", "Ascites")]


def test_a_word_in_a_sentence_is_no_heading():
    text = "There is one finding: ascites. Impression of the vena cava."
    assert parse(text) == [("Findings", text)]
