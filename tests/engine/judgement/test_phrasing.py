from __future__ import annotations

import pytest

from engine.judgement.phrasing import Phrasing, agrees, spoken

HEART = Phrasing(
    finding="cardiomegaly",
    terms=("cardiomegaly",),
    facts={"present": ("The heart is enlarged.",), "absent": ("The heart is of normal size.",)},
)
EFFUSION = Phrasing(
    finding="pleural effusion",
    terms=("pleural effusion",),
    facts={
        "left": ("There is a left pleural effusion.",),
        "right": ("There is a right pleural effusion.",),
        "absent": ("There is no pleural effusion.",),
    },
)
FREE = Phrasing(finding="ascites", terms=("ascites", "free fluid"), question="Is there ascites?")


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("There is a left pleural effusion.", "left"),
        ("Findings: There is no pleural effusion.", "absent"),
        ("Right pleural effusion.", "right"),
        ("Pleural effusion.", "present"),
        ("No evidence of pleural effusion.", "absent"),
    ],
)
def test_a_sentence_states_a_fact(sentence, fact):
    assert EFFUSION.fact(sentence) == fact


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("A trace of free fluid is seen.", "present"),
        ("Ascites is not excluded.", "present"),
        ("No ascites.", "absent"),
        ("The abdomen is without free fluid.", "absent"),
    ],
)
def test_free_words_say_that_it_is_there_or_not(sentence, fact):
    assert FREE.fact(sentence) == fact


def test_a_wording_without_the_name_speaks_of_the_finding():
    text = "The heart is of normal size. Ascites. No pleural effusion or ascites. Fine."
    spans = [(0, 28), (29, 37), (38, 69), (70, 75)]
    found = [
        (one.span, one.phrasing.finding, one.fact)
        for one in spoken(text, spans, [HEART, EFFUSION, FREE])
    ]
    assert found == [((0, 28), "cardiomegaly", "absent"), ((29, 37), "ascites", "present")]


@pytest.mark.parametrize(
    ("said", "truth", "right"),
    [
        ("left", "left", True),
        ("left", "right", False),
        ("left", "present", True),
        ("present", "left", True),
        ("absent", "present", False),
        ("present", "absent", False),
        ("absent", "absent", True),
    ],
)
def test_a_side_counts_where_both_name_one(said, truth, right):
    assert agrees(said, truth) == right


def test_a_heading_is_no_word_of_the_sentence():
    (one,) = spoken("Findings: There is ascites.", [(0, 27)], [FREE])
    assert (one.span, one.start) == ((0, 27), 10)
