"""A reader asks the model about a study: `/api/studies/{uid}/questions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.params import Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from plugin.state.database import SessionFactory
from plugin.web.beside.questions import ask, asked_of, growing
from plugin.web.dicomweb.problems import may_answer
from plugin.web.dicomweb.routes import Identify, Views

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Pieces, and the answer"}
}
# Models read some thousand tokens; nobody types more than a page
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Asked(BaseModel):
    """A question: open, or closed with two or more choices."""

    question: Words
    choices: Annotated[list[Words], Field(max_length=26)] = []


def questions_router(
    sessions: SessionFactory, identify: Identify, may_read: Sequence[Depends]
) -> APIRouter:
    """Return the routes of questions.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    identify : Identify
        Names who asks.
    may_read : sequence of Depends
        What every request must pass.
    """
    router = APIRouter(prefix="/api/studies", tags=["studies"], dependencies=[*may_read])
    views = Views(sessions, identify, "questions about it")

    @router.get("/{study}/questions", responses=may_answer(404, 422))
    def show(study: str, request: Request) -> dict[str, Any]:
        """Return what was asked about a study, and answered."""
        found = asked_of(sessions, study)
        views.note(request, study)
        return {"questions": found}

    @router.post(
        "/{study}/questions",
        response_class=StreamingResponse,
        responses={**may_answer(404, 422, 429), **_EVENTS},
    )
    def put(study: str, asked: Asked, request: Request) -> StreamingResponse:
        """Ask: events `piece` while the answer grows, then `answer` or `error`."""
        key = ask(sessions, study, asked.question, asked.choices, identify(request))
        return StreamingResponse(growing(sessions, key), media_type="text/event-stream")

    return router
