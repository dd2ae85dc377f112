"""The review of a study: `/api/studies/{study}/review`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from dicom_io.cleaned import cleaned_lines
from plugin.state.kept.people import SignIn
from plugin.web.access.gate import identify
from plugin.web.access.sessions import Role
from plugin.web.access.tokens import Scope
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.reading.reviews import Outdated, Reader
from plugin.web.reading.room import Room
from plugin.web.routes.templates import HeadingName
from reporting.text.headings import Heading

# The longest reports of radiology have some pages: 2,000 characters each
Text = Annotated[str, Field(max_length=40_000), AfterValidator(cleaned_lines)]
Reason = Annotated[str, Field(max_length=1000), AfterValidator(cleaned_lines)]


class Section(BaseModel):
    """The text under a heading."""

    heading: HeadingName
    title: str = Field(max_length=64)
    text: Text


class Edited(BaseModel):
    """The whole text of a report."""

    sections: list[Section] = Field(min_length=1, max_length=len(Heading))


class Decision(BaseModel):
    """What is decided, and upon which version."""

    version: int = Field(ge=0)
    reason: Reason | None = None
    until: AwareDatetime | None = None


def reviews_router(room: Room) -> APIRouter:
    """Return the routes of a study's review."""
    router = APIRouter(prefix="/api/studies/{study}/review", tags=["reading"])
    reader = room.gate.allowed(Role.READER, Scope.READING)
    decides = room.signed_in(Role.RADIOLOGIST)
    refused = may_answer(404, 409, 412, 422)
    reviews = room.reviews

    def answered(study: str, change: Callable[[], object]) -> Response:
        """Answer with the review as it is after a change, or as it stands instead (412)."""
        status = 200
        try:
            change()
        except Outdated:
            status = 412
        return _answer(reviews.show(study), status)

    @router.get("", dependencies=[reader], responses=may_answer(404))
    def show(study: str, request: Request) -> Response:
        """Return the text as it stands, who changed it, and what was decided."""
        room.worklist.key(study)
        found = reviews.show(study)
        room.views.note(request, study)
        return _answer(found, 200)

    @router.put("", responses=refused)
    def save(
        study: str,
        edited: Edited,
        request: Request,
        if_match: Annotated[str, Header()],
        me: SignIn = decides,
    ) -> Response:
        """Save the text, upon the version that `If-Match` names."""
        room.worklist.key(study)
        sections = [one.model_dump() for one in edited.sections]
        if len({one["heading"] for one in sections}) < len(sections):
            raise Refused(422, "invalid-request", "each heading stands once")
        version = _version(if_match)
        return answered(study, lambda: reviews.save(study, sections, version, _reader(me, request)))

    @router.post("/accept", responses=refused)
    def accept(study: str, wanted: Decision, request: Request, me: SignIn = decides) -> Response:
        """Accept the text as it stands; the settings say what follows."""
        room.worklist.key(study)
        who = _reader(me, request)
        return answered(study, lambda: room.decisions.accept(study, wanted.version, who))

    @router.post("/reject", responses=refused)
    def reject(study: str, wanted: Decision, request: Request, me: SignIn = decides) -> Response:
        """Reject the draft, with a reason."""
        room.worklist.key(study)
        reason, who = (wanted.reason or "").strip(), _reader(me, request)
        if not reason:
            raise Refused(422, "no-reason", "say why the draft is rejected")
        return answered(study, lambda: room.decisions.reject(study, wanted.version, reason, who))

    @router.post("/later", responses=refused)
    def later(study: str, wanted: Decision, request: Request, me: SignIn = decides) -> Response:
        """Put the study off, until a moment or until somebody takes it up."""
        room.worklist.key(study)
        until: datetime | None = wanted.until
        who = _reader(me, request)
        return answered(study, lambda: reviews.put_off(study, wanted.version, until, who))

    @router.post("/reopen", responses=refused)
    def reopen(study: str, request: Request, me: SignIn = decides) -> Response:
        """Take up a review that was decided or put off, upon the present draft."""
        room.worklist.key(study)
        return answered(study, lambda: reviews.reopen(study, _reader(me, request)))

    return router


def _reader(me: SignIn, request: Request) -> Reader:
    return Reader(me.person.display_name, identify(request))


def _version(if_match: str) -> int:
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused(422, "invalid-request", "If-Match is the version of the review")
    return int(text)


def _answer(review: dict[str, Any], status: int) -> Response:
    headers = {"ETag": f'"{review["version"]}"'}
    return JSONResponse(review, status_code=status, headers=headers)
