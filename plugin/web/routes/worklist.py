"""The list of studies: `/api/worklist`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from dicom_io.cleaned import cleaned
from plugin.web.access.sessions import Role
from plugin.web.access.tokens import Scope
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.dicomweb.routes import Views
from plugin.web.reading.room import Room
from plugin.web.reading.rows import State
from plugin.web.reading.worklist import LARGEST_PAGE, URGENCIES, Filter

# Longer ones are no name, and no number
_LONGEST = 200
Words = Annotated[str, Query(max_length=_LONGEST)]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]


def worklist_router(room: Room) -> APIRouter:
    """Return the route of the list."""
    router = APIRouter(prefix="/api/worklist", tags=["reading"])
    views = Views(room.archive.sessions, room.identify, "the list of studies, with its patients")

    @router.get(
        "",
        dependencies=[room.gate.allowed(Role.READER, Scope.READING)],
        responses=may_answer(400, 422),
    )
    def show(
        request: Request,
        state: Words = "",
        urgency: Words = "",
        model: Words = "",
        search: Words = "",
        limit: Limit = 100,
        after: Words = "",
    ) -> dict[str, Any]:
        """List studies. `state`, `urgency` and `model` take several values, separated by commas."""
        wanted = Filter(
            states=frozenset(map(_state, _several(state))),
            urgencies=frozenset(map(_urgency, _several(urgency))),
            models=frozenset(_several(model)),
            search=cleaned(search),
        )
        studies, further = room.worklist.page(wanted, limit, cleaned(after) or None)
        views.note(request, None)
        return {"studies": studies, "counts": room.worklist.counts(wanted), "next": further}

    return router


def _several(text: str) -> list[str]:
    return [one for part in cleaned(text).split(",") if (one := part.strip())]


def _state(name: str) -> State:
    try:
        return State(name)
    except ValueError:
        raise Refused(400, "bad-query", f"state is one of {', '.join(State)}") from None


def _urgency(name: str) -> str:
    if name not in URGENCIES.values():
        raise Refused(400, "bad-query", "urgency is one of stat, urgent, routine")
    return name
