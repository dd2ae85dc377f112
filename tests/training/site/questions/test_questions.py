from dataclasses import replace

import numpy as np
import pytest

from tests.training.site.studies import AFFINE
from training.data.store import ImageRecord
from training.site.questions.questions import questions_of

RECORD = ImageRecord(
    "p/s-1", "p", "p/s", AFFINE.tolist(), origin={"phase": "arterial", "covers_study": True}
)
TEXT = (
    "Findings: There is a left pleural effusion. No ascites. No cardiomegaly. "
    "No splenomegaly. Spleen of 9 cm."
)


def asked(record: ImageRecord = RECORD, text: str = TEXT) -> dict[str, tuple[int, str]]:
    return {
        one.question.question: (one.question.type, one.question.answer)
        for one in questions_of(record, text, "site")
    }


def test_headers_give_plane_and_phase():
    found = asked(text="Findings: normal.")
    assert found == {
        "Which plane is this CT image in?": (1, "axial"),
        "Which contrast phase is shown?": (2, "arterial"),
    }


def test_simple_statements_give_side_abnormality_and_yes_or_no():
    found = asked()
    assert found["On which side is the pleural effusion?"] == (5, "left")
    assert found["Which of these abnormalities is seen?"] == (4, "pleural effusion")
    assert found["Is there a pleural effusion?"] == (4, "Yes")
    assert found["Is there ascites?"] == (4, "No")


def test_an_organ_is_asked_for_where_the_others_are_normal():
    text = (
        "Cardiomegaly. The liver is normal. Spleen normal. Normal pancreas. Kidneys unremarkable."
    )
    assert asked(text=text)["Which of these organs is abnormal?"] == (3, "heart")


def test_an_oblique_stack_is_in_no_plane():
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    oblique = replace(RECORD, affine_lps=(turn @ AFFINE).tolist())
    assert "Which plane is this CT image in?" not in asked(oblique)


def test_an_image_of_a_part_of_the_study_is_not_asked_about_its_report():
    part = replace(RECORD, origin={"phase": None, "covers_study": False})
    assert set(asked(part)) == {"Which plane is this CT image in?"}


def test_every_question_has_one_right_answer_and_its_origin():
    for one in questions_of(RECORD, TEXT, "site"):
        question = one.question
        assert question.choices.count(question.answer) == 1
        assert question.choices["ABCD".index(question.answer_choice)] == question.answer
        assert one.provenance["from"]
        assert question.source == ("site_yn" if question.answer in ("Yes", "No") else "site")


def test_the_same_image_is_asked_the_same():
    assert list(questions_of(RECORD, TEXT, "site")) == list(questions_of(RECORD, TEXT, "site"))


@pytest.mark.parametrize("text", ["Findings: [NAME] has a left pleural effusion.", ""])
def test_what_is_no_simple_statement_is_not_asked_about(text):
    assert not [key for key in asked(text=text) if "effusion" in key]
