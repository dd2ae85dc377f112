import numpy as np
import pytest

from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import Finding, Truth
from training.data.phantoms.questions import NONE, questions, yes_no_questions
from training.data.questions import LETTERS, TYPES, Question

TRUTHS = [make_phantom(seed, matrix=24, focal=True).truth for seed in range(60)]
ASKED = [
    (truth, question)
    for i, truth in enumerate(TRUTHS)
    for question in questions(truth, "k", np.random.default_rng(i))
]


def test_all_five_types_are_asked():
    assert {question.type for _, question in ASKED} == set(TYPES)


def test_every_question_has_four_different_choices_and_the_letter_of_its_answer():
    for _, question in ASKED:
        assert len(set(question.choices)) == 4
        assert question.choices[LETTERS.index(question.answer_choice)] == question.answer


def test_the_letter_of_the_answer_gives_nothing_away():
    counts = [sum(q.answer_choice == letter for _, q in ASKED) for letter in LETTERS]
    assert min(counts) > 0.17 * len(ASKED)


def test_plane_and_phase_are_those_of_the_image():
    for truth, question in ASKED:
        if question.type in (1, 2):
            assert question.answer == (truth.plane if question.type == 1 else truth.phase)


def test_what_is_not_there_is_asked_for_too_and_the_answer_is_none():
    for kind in (3, 4, 5):
        answers = [q.answer == NONE for _, q in ASKED if q.type == kind and NONE in q.choices]
        assert 0.3 < sum(answers) / len(answers) < 0.7


def test_the_choices_do_not_tell_whether_a_finding_is_there():
    for _, question in ASKED:
        if question.type in (3, 4) or "side" in question.question:
            assert NONE in question.choices


def test_no_wrong_choice_of_an_abnormality_is_seen_elsewhere():
    for truth, question in ASKED:
        if question.type == 4:
            present = {finding.name for finding in truth.findings}
            assert len(present & set(question.choices)) <= 1
            assert question.answer in present or question.answer == NONE


def test_a_place_and_a_side_are_those_that_were_planted():
    cyst = Finding("renal cyst", "left", 0.5, "lower pole", 30)
    truth = Truth("axial", "delayed", (cyst,))
    asked = questions(truth, "k", np.random.default_rng(0), ["renal cyst"])
    assert {q.question: q.answer for q in asked if q.type == 5} == {
        "On which side is the renal cyst?": "left",
        "Where in the left kidney is the renal cyst?": "lower pole",
    }


def test_the_other_side_of_a_finding_shows_none():
    effusion = Truth("axial", "delayed", (Finding("pleural effusion", "left", 0.5),))
    answers = {
        q.question: q.answer
        for seed in range(30)
        for q in questions(effusion, "k", np.random.default_rng(seed), ["pleural effusion"])
    }
    area = "Which abnormality is seen in the {}pleural space?".format
    assert answers[area("left ")] == answers[area("")] == "pleural effusion"
    assert answers[area("right ")] == NONE


def test_an_area_with_two_abnormalities_is_not_asked_for_the_one():
    place = "superior part"
    findings = (
        Finding("hepatic steatosis", None, 0.5),
        Finding("liver lesion", None, 0, place, 20),
    )
    truth = Truth("axial", "delayed", findings)
    known = [finding.name for finding in findings]
    asked = list(questions(truth, "k", np.random.default_rng(0), known))
    assert not [q for q in asked if q.type == 4]


@pytest.mark.parametrize("truth", TRUTHS[:20], ids=range(20))
def test_yes_and_no_are_true_and_as_frequent(truth):
    asked: list[Question] = list(yes_no_questions(truth, "k", np.random.default_rng(0)))
    present = {finding.name for finding in truth.findings}
    for question in asked:
        named = any(name in question.question for name in present)
        assert question.answer == ("Yes" if named else "No")
    yes = sum(question.answer == "Yes" for question in asked)
    assert yes == len(present)
    assert len(asked) - yes == max(1, len(present)) or len(present) > 4


def test_a_phantom_gives_the_same_questions_again():
    first, again = (list(questions(TRUTHS[0], "k", np.random.default_rng(3))) for _ in range(2))
    assert first == again
