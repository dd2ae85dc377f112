"""Questions over HTTP: streamed while they are answered, and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from plugin.state.audit import AuditRow, Who
from plugin.state.database import SessionFactory, connect, session_factory
from plugin.state.kept.questions import Question, QuestionState
from plugin.state.tables import Study
from plugin.web.access.gate import Gate
from plugin.web.application import create_app
from plugin.web.beside import questions as beside
from plugin.web.routes.questions import questions_router
from tests.waiting import eventually

NOW = datetime.now(UTC)
ANN = Who(kind="person", name="ann")


@pytest.fixture
def sessions(sqlite_template: Path, tmp_path: Path) -> Iterator[SessionFactory]:
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ctscribe.db')}")
    factory = session_factory(engine)
    with factory.begin() as session:
        session.add(Study(study_instance_uid="1.2", first_received_at=NOW, last_received_at=NOW))
    yield factory
    engine.dispose()


@pytest.fixture
def client(sessions: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(beside, "_LOOK_S", 0.02)
    router = questions_router(sessions, lambda _: ANN, ())
    with TestClient(create_app(Gate(sessions), [router], secure=False)) as client:
        yield client


def answer(sessions: SessionFactory, *steps: dict[str, object]) -> Thread:
    """Write an answer step by step, as a worker does."""

    def write() -> None:
        assert eventually(lambda: bool(_open(sessions)))
        for step in steps:
            with sessions.begin() as session:
                one = session.get_one(Question, _open(sessions)[0])
                for name, value in step.items():
                    setattr(one, name, value)

    thread = Thread(target=write)
    thread.start()
    return thread


def _open(sessions: SessionFactory) -> list[int]:
    with sessions() as session:
        still = Question.state == QuestionState.OPEN
        return list(session.scalars(select(Question.id).where(still)))


def events(body: str) -> list[tuple[str, dict[str, object]]]:
    pieces = [one.split("\n") for one in body.strip().split("\n\n")]
    return [(a.removeprefix("event: "), json.loads(b.removeprefix("data: "))) for a, b in pieces]


def test_an_answer_comes_in_pieces_and_stays(client: TestClient, sessions: SessionFactory) -> None:
    done = {"text": "A small one.", "state": QuestionState.ANSWERED, "model": "fake 1"}
    thread = answer(sessions, done)
    told = client.post("/api/studies/1.2/questions", json={"question": "An effusion?"})
    thread.join()
    assert told.headers["content-type"].startswith("text/event-stream")
    *pieces, (last, final) = events(told.text)
    assert "".join(str(data["text"]) for _, data in pieces) == "A small one."
    assert (last, final["text"], final["probabilities"]) == ("answer", "A small one.", None)
    (kept,) = client.get("/api/studies/1.2/questions").json()["questions"]
    assert (kept["question"], kept["text"], kept["asked_by"]) == (
        "An effusion?",
        "A small one.",
        "ann",
    )
    with sessions() as session:
        details = [row.entry.detail for row in session.scalars(select(AuditRow))]
    assert "asked the model" in details


def test_a_question_that_fails_says_why(client: TestClient, sessions: SessionFactory) -> None:
    thread = answer(sessions, {"error": "no answer: it shows no chest", "state": "failed"})
    told = client.post("/api/studies/1.2/questions", json={"question": "An effusion?"})
    thread.join()
    assert events(told.text) == [("error", {"error": "no answer: it shows no chest"})]


@pytest.mark.parametrize(
    ("study", "body", "status", "code"),
    [
        ("1.9", {"question": "x"}, 404, "not-found"),
        ("1.2", {"question": " "}, 422, "no-question"),
        ("1.2", {"question": "x", "choices": ["one"]}, 422, "no-question"),
        ("1.2", {"question": "x", "choices": ["One", "one"]}, 422, "no-question"),
        ("1.2", {"question": ""}, 422, "invalid-request"),
    ],
)
def test_what_is_no_question_is_refused(
    client: TestClient, study: str, body: dict[str, object], status: int, code: str
) -> None:
    told = client.post(f"/api/studies/{study}/questions", json=body)
    assert (told.status_code, told.json()["code"]) == (status, code)


def test_one_person_asks_few_questions_at_once(
    sessions: SessionFactory, client: TestClient
) -> None:
    for _ in range(3):
        beside.ask(sessions, "1.2", "An effusion?", [], ANN)
    told = client.post("/api/studies/1.2/questions", json={"question": "And a nodule?"})
    assert (told.status_code, told.json()["code"]) == (429, "too-many")
    assert int(told.headers["Retry-After"]) > 0


def test_questions_go_with_their_study(sessions: SessionFactory) -> None:
    beside.ask(sessions, "1.2", "An effusion?", [], ANN)
    with sessions.begin() as session:
        session.delete(session.scalars(select(Study)).one())
    assert _open(sessions) == []
