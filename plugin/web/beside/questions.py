"""Questions about a study: asked here, answered by a worker, and read while the answer grows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from dicom_io.errors import EngineError
from engine.inference.question import question_prompt, require_distinct
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, Who
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kept.questions import Question, QuestionState
from plugin.state.running.bell import ring
from plugin.state.tables import Study
from plugin.web.dicomweb.problems import Refused

# A reader waits for an answer; who asks more at once is a program, and drafts would wait for it
_MOST_OPEN = 3
# An answer takes seconds where no draft is before it; who asks again is told the same
_ANSWERED_S = 5.0
# How soon a piece is seen, and how long anybody is kept waiting
_LOOK_S, _PATIENCE_S = 0.25, 600.0
# So many turns of a conversation are shown
_LATEST = 200


def ask(
    sessions: SessionFactory, study: str, question: str, choices: Sequence[str], who: Who
) -> int:
    """Have a question answered by the next worker that is free; returns its key.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    study : str
        Study Instance UID.
    question : str
        In plain words.
    choices : sequence of str
        Possible answers, two or more; none for an open question.
    who : Who
        Asks.

    Raises
    ------
    Refused
        There is no such study, the question is none, or others of the same person are open.
    """
    try:
        question_prompt(question, choices)
        require_distinct(choices)
    except EngineError as error:
        raise Refused(422, "no-question", str(error)) from error
    with sessions.begin() as session:
        study_id, now = _study_id(session, study), now_of(session)
        mine = Question.state == QuestionState.OPEN, Question.asked_by == who.name
        if (session.scalar(select(func.count(Question.id)).where(*mine)) or 0) >= _MOST_OPEN:
            told = "wait for the answers to your other questions"
            raise Refused(429, "too-many", told, after_s=_ANSWERED_S)
        asked = Question(
            study_id=study_id,
            asked_at=now,
            asked_by=who.name,
            question=question,
            choices=[*choices],
            not_before=now,
        )
        session.add(asked)
        subject = Subject(study_instance_uid=study)
        entry = Entry(action=Action.VIEWED, who=who, study=subject, detail="asked the model")
        audit.record(session, entry, now=now)
        ring(session)
        session.flush()
        return asked.id


def asked_of(sessions: SessionFactory, study: str) -> list[dict[str, Any]]:
    """Return the questions about a study, the latest of them, in their order.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    study : str
        Study Instance UID.

    Raises
    ------
    Refused
        There is no such study.
    """
    with sessions() as session:
        of_study = select(Question).where(Question.study_id == _study_id(session, study))
        rows = session.scalars(of_study.order_by(Question.id.desc()).limit(_LATEST)).all()
        return [_to_dict(one) for one in reversed(rows)]


async def growing(
    sessions: SessionFactory, key: int, patience_s: float = _PATIENCE_S
) -> AsyncIterator[str]:
    """Yield server-sent events while a question is answered, and the answer, or an error.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    key : int
        Of the question.
    patience_s : float
        After that the reader is told to look later; the question stays.
    """
    shown, waited = "", 0.0
    while waited < patience_s:
        found = await run_in_threadpool(_look, sessions, key)
        if found is None or found["error"]:
            error = found["error"] if found else "the study was deleted"
            yield _event("error", {"error": error})
            return
        text, answered = found["text"] or "", found["state"] == QuestionState.ANSWERED
        if text.startswith(shown) and len(text) > len(shown) and not found["choices"]:
            yield _event("piece", {"text": text[len(shown) :]})
            shown = text
        if answered:
            told = {"text": text, "probabilities": found["probabilities"], "model": found["model"]}
            yield _event("answer", {"id": key, **told})
            return
        await anyio.sleep(_LOOK_S)
        waited += _LOOK_S
    yield _event("error", {"error": "no worker has answered yet: look again later"})


def _look(sessions: SessionFactory, key: int) -> dict[str, Any] | None:
    with sessions() as session:
        row = session.get(Question, key)
        return None if row is None else _to_dict(row)


def _study_id(session: Session, study: str) -> int:
    found = session.scalar(select(Study.id).where(Study.study_instance_uid == study))
    if found is None:
        raise Refused(404, "not-found", "there is no such study")
    return found


def _to_dict(one: Question) -> dict[str, Any]:
    return {
        "id": one.id,
        "question": one.question,
        "choices": one.choices,
        "state": one.state,
        "text": one.text,
        "probabilities": one.probabilities,
        "model": one.model,
        "error": one.error,
        "asked_at": one.asked_at.isoformat(),
        "asked_by": one.asked_by,
    }


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
