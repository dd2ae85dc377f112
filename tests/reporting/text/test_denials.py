import pytest

from reporting.draft import LINE, Section, Sentence, lines_of
from reporting.text.denials import denies
from reporting.text.headings import Heading


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no cardiomegaly.",
        "No pleural effusion is seen.",
        "No pleural effusion, pneumothorax or consolidation.",
        "The liver is of normal attenuation.",
        "The lungs are clear.",
        "The spleen is normal in size.",
        "The common bile duct is not dilated.",
        "There is no evidence of fracture.",
    ],
)
def test_a_denial_is_known(sentence):
    assert denies(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Splenomegaly is present.",
        "No change in the large mass of the left lung.",
        "No significant change of the nodule.",
        "No new nodules.",
        "The tube is no longer seen.",
        "No longer any effusion.",
        "There is no doubt that malignancy cannot be excluded.",
        "No effusion, mass in the left lower lobe.",
        "No fracture or dislocation, large haematoma of the thigh.",
        "No effusion; a mass lies in the hilum.",
        "No effusion, but a mass lies in the hilum.",
        "The liver is normal in size with a 2 cm lesion.",
        "The liver is normal and the spleen is enlarged.",
        "The lungs are clear except for a nodule.",
        "The left kidney is not seen.",
        "Normal variant: horseshoe kidney.",
        "Nodule of 5 mm.",
        "North of the hilum lies a mass.",
    ],
)
def test_whatever_may_be_a_finding_is_none(sentence):
    assert not denies(sentence)


def test_denials_stand_last_and_share_a_paragraph():
    texts = ["There is no cardiomegaly.", "Splenomegaly is present.", "There is no ascites."]
    section = Section(Heading.FINDINGS, tuple(map(Sentence, texts)))
    shown = [[one.text for one in paragraph] for paragraph in section.paragraphs]
    assert shown == [[texts[1]], [texts[0], texts[2]]]


def test_lines_are_filled_with_whole_sentences():
    sentences = [Sentence(f"No finding number {n} is seen anywhere.") for n in range(5)]
    lines = lines_of(sentences)
    assert all(len(line) <= LINE for line in lines)
    assert len(lines_of([Sentence("No cyst."), Sentence("No mass.")])) == 1
    assert " ".join(lines) == " ".join(one.text for one in sentences)


def test_an_impression_keeps_its_order():
    section = Section(Heading.IMPRESSION, (Sentence("No ascites."), Sentence("Splenomegaly.")))
    assert [paragraph[0].text for paragraph in section.paragraphs] == [
        "No ascites.",
        "Splenomegaly.",
    ]
