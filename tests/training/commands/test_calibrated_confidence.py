from types import SimpleNamespace
from typing import Any

import pytest

from dicom_io.errors import EngineError, UnusableData
from engine.judgement.calibration import Fitted
from training.commands.calibrated_confidence import confident_phrasings, worth


def model(*findings: str, questions: tuple[str, ...] = (), answers: bool = True) -> Any:
    card = SimpleNamespace(name="own", findings=findings, demonstration=False)
    prompt = SimpleNamespace(answers_questions=answers, questions=questions)
    return SimpleNamespace(card=card, prompt=prompt)


def studies(there: int) -> dict[str, dict[str, str]]:
    return {str(i): {"ascites": "present" if i < there else "absent"} for i in range(40)}


def test_a_model_that_writes_freely_is_asked_what_enough_studies_show() -> None:
    (asked,) = confident_phrasings(model(), studies(19))
    assert asked.question == "Is there ascites?"
    assert not asked.facts


def test_its_own_findings_need_no_studies() -> None:
    (asked,) = confident_phrasings(model("pleural effusion"), studies(0))
    assert asked.question == "Is there a pleural effusion?"


def test_a_finding_that_few_studies_show_is_not_asked_for() -> None:
    with pytest.raises(UnusableData, match="no finding is there in 19 of the 40 studies"):
        confident_phrasings(model(), studies(18))


@pytest.mark.parametrize("mute", [model(answers=False), model(questions=("Is there ascites?",))])
def test_who_answers_no_free_question_has_no_confidence(mute: Any) -> None:
    with pytest.raises(EngineError, match="answers no free questions"):
        confident_phrasings(mute, studies(40))


def fitted(cases: int, sentences: int) -> Fitted:
    return Fitted(
        finding="ascites",
        present=True,
        sentences=sentences,
        right=sentences,
        slope=1.0,
        offset=0.0,
        cases=cases,
        least=0.1 if cases >= 19 else None,
    )


def test_enough_cases_promise() -> None:
    said = worth(fitted(60, 60))
    assert "60 studies; ruled out in at most 1 of 20; said 60 times, 60 right (94 to 100 %)" in said


def test_too_few_cases_say_how_many_more_it_takes() -> None:
    said = worth(fitted(12, 0))
    assert "no promise, 7 too few; said 0 times; no word of confidence, 19 too few" in said
