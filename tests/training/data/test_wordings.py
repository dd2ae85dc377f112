from engine.checkpoints.layouts.vlm_qwen import REPORT_QUESTION
from training.data.wordings import M3D_REPORT_QUESTIONS


def test_there_are_42_of_which_one_is_there_twice():
    assert len(M3D_REPORT_QUESTIONS) == 42
    assert len(set(M3D_REPORT_QUESTIONS)) == 41
    assert M3D_REPORT_QUESTIONS[2] == M3D_REPORT_QUESTIONS[13]


def test_the_published_weights_are_asked_with_one_of_them():
    assert REPORT_QUESTION in M3D_REPORT_QUESTIONS
