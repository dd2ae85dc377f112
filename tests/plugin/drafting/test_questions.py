"""A question is answered from the study's images, once, and before the next draft."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from dicom_io.errors import EngineUnavailable
from engine.fake import FakeEngine
from plugin.drafting.questions import ATTEMPTS, Questions
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.state.kept.questions import Question, QuestionState
from plugin.state.tables import Instance, Study
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import ward as ward

NOW = datetime.now(UTC)


@pytest.fixture
def asked(ward: Ward) -> Callable[..., Ward]:
    """A study of which somebody asks something."""

    def asked(*choices: str) -> Ward:
        ward.arrive(0)
        with ward.sessions.begin() as session:
            study_id = session.scalars(select(Study.id)).one()
            session.add(
                Question(
                    study_id=study_id,
                    asked_at=NOW,
                    asked_by="ann",
                    question="Is there an effusion?",
                    choices=[*choices],
                    not_before=NOW,
                )
            )
        return ward

    return asked


def questions_of(ward: Ward, engine: FakeEngine) -> Questions:
    return Questions(ward.sessions, ward.spool, engine, 60.0, lambda: ward.moment)


Rows = Callable[[Any], list[Any]]


def test_an_open_question_is_answered_in_words(asked: Callable[..., Ward], rows: Rows) -> None:
    questions = questions_of(asked(), FakeEngine("A small one, on the left."))
    assert questions.work_once()
    (one,) = rows(Question)
    assert (one.state, one.text, one.probabilities) == (
        "answered",
        "A small one, on the left.",
        None,
    )
    assert one.model == "fake 1"
    assert not questions.work_once()


def test_a_closed_question_is_answered_with_probabilities(
    asked: Callable[..., Ward], rows: Rows
) -> None:
    questions_of(asked("yes", "no"), FakeEngine()).work_once()
    (one,) = rows(Question)
    assert one.text == "yes"
    assert one.probabilities == [
        {"choice": "yes", "probability": 0.6667},
        {"choice": "no", "probability": 0.3333},
    ]


def test_the_reader_sees_the_text_grow(
    asked: Callable[..., Ward], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin.drafting.questions._PIECE_S", 0.0)
    questions = questions_of(asked(), FakeEngine("One two three."))
    seen: list[str] = []
    monkeypatch.setattr(questions, "grow", lambda _, text: seen.append(text))
    questions.work_once()
    assert seen == ["One ", "One two ", "One two three."]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (FakeEngine(abstained="it shows no chest"), "no answer: it shows no chest"),
        (FakeEngine(failure=EngineUnavailable("no host answers")), "cannot be asked now: no host"),
        (FakeEngine(failure=ValueError("Doe^Jane")), "internal error: ValueError"),
    ],
)
def test_what_went_wrong_is_said_without_a_name(
    asked: Callable[..., Ward], rows: Rows, model: FakeEngine, said: str
) -> None:
    questions_of(asked(), model).work_once()
    (one,) = rows(Question)
    assert one.state == "failed"
    assert said in one.error


def test_without_images_there_is_no_answer(asked: Callable[..., Ward], rows: Rows) -> None:
    ward = asked()
    with ward.sessions.begin() as session:
        session.execute(update(Instance).values(path="gone.dcm"))
    questions_of(ward, FakeEngine()).work_once()
    assert rows(Question)[0].error == "the images of the study were deleted"


def test_whose_worker_died_is_answered_by_another(asked: Callable[..., Ward], rows: Rows) -> None:
    ward = asked()
    questions = questions_of(ward, FakeEngine())
    for attempt in range(ATTEMPTS):
        assert questions._claim() is not None, attempt
        assert questions._claim() is None
        ward.moment += timedelta(minutes=2)
    assert not questions.work_once()
    assert rows(Question)[0].state == QuestionState.FAILED


def test_a_reader_waits_for_no_draft(asked: Callable[..., Ward], rows: Rows) -> None:
    ward = asked()
    engine = FakeEngine("No.")
    questions = questions_of(ward, engine)
    worker = Worker(
        ward.sessions,
        ward.spool,
        Pipeline(engine).make_report,
        {},
        questions=questions.work_once,
    )
    assert worker.work_once()
    assert rows(Question)[0].state == "answered"
    assert rows(Study)[0].state == "receiving"
    assert worker.work_once()
    assert rows(Study)[0].state == "drafted"
