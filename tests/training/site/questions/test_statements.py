import pytest

from training.site.questions.statements import statements


def said(text: str) -> list[tuple[str, bool, str | None]]:
    return [(one.finding, one.present, one.side) for one in statements(text)]


@pytest.mark.parametrize(
    ("sentence", "finding", "present", "side"),
    [
        ("There is a small left pleural effusion.", "pleural effusion", True, "left"),
        ("Left-sided pleural effusion.", "pleural effusion", True, "left"),
        ("Bilateral pleural effusions.", "pleural effusion", True, "bilateral"),
        ("Pleuraerguss rechts.", "pleural effusion", True, "right"),
        ("Kleiner linksseitiger Pleuraerguss.", "pleural effusion", True, "left"),
        ("Épanchement pleural droit.", "pleural effusion", True, "right"),
        ("Derrame pleural izquierdo.", "pleural effusion", True, "left"),
        ("No pleural effusion.", "pleural effusion", False, None),
        ("There is no evidence of ascites.", "ascites", False, None),
        ("Kein Aszites.", "ascites", False, None),
        ("Pas d'ascite.", "ascites", False, None),
        ("Sin ascitis ni derrame.", None, None, None),
        ("Cardiomegaly.", "cardiomegaly", True, None),
        ("There is hepatic steatosis.", "hepatic steatosis", True, None),
    ],
)
def test_simple_sentences_are_read(sentence, finding, present, side):
    assert said(f"Findings: {sentence}") == ([(finding, present, side)] if finding else [])


@pytest.mark.parametrize(
    "sentence",
    [
        "Possible left pleural effusion.",
        "Pleural effusion cannot be excluded.",
        "The left pleural effusion has resolved.",
        "Left pleural effusion smaller than before.",
        "Left pleural effusion and ascites.",
        "No left pleural effusion.",
        "Left, no right pleural effusion.",
        "Left pleural effusion?",
        "Status post drainage of a left pleural effusion.",
        "Left and right pleural effusion.",
        "Kein Pleuraerguss links.",
        "V. a. Pleuraerguss links.",
        "Susp. Pleuraerguss links.",
    ],
)
def test_anything_else_says_nothing(sentence):
    assert said(sentence) == []


@pytest.mark.parametrize(
    "text",
    [
        "Left pleural effusion. Right pleural effusion.",
        "Left pleural effusion. No pleural effusion.",
        "Left pleural effusion. The pleural effusion may be loculated.",
    ],
)
def test_sentences_that_do_not_agree_say_nothing(text):
    assert said(text) == []


def test_agreeing_sentences_say_it_once():
    text = "Findings: There is a left pleural effusion.\nImpression: Left pleural effusion."
    assert said(text) == [("pleural effusion", True, "left")]
    assert statements(text)[0].sentence == "There is a left pleural effusion."
