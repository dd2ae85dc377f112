"""One study, its draft, and who has it open: `/api/studies/{study}`."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response

from plugin.state.clock import now_of
from plugin.state.kept.people import SignIn
from plugin.web.access.sessions import Role
from plugin.web.access.tokens import Scope
from plugin.web.dicomweb.problems import may_answer
from plugin.web.reading.drafts import current_draft, told
from plugin.web.reading.heat import heat_of
from plugin.web.reading.presence import readers_of, tell_presence
from plugin.web.reading.room import Room
from plugin.web.reading.studies import study_told


def studies_router(room: Room) -> APIRouter:
    """Return the routes of a study."""
    router = APIRouter(prefix="/api/studies/{study}", tags=["reading"], responses=may_answer(404))
    reader = room.gate.allowed(Role.READER, Scope.READING)
    looks_on = room.signed_in(Role.READER, uses=False)
    sessions, spool = room.archive.sessions, room.archive.spool

    @router.get("", dependencies=[reader])
    def show(study: str, request: Request) -> dict[str, Any]:
        """Return a study's row, its series, and what has happened to it."""
        found = study_told(room.archive, room.worklist, study, room.ohif)
        room.views.note(request, study)
        return found

    @router.get("/draft", dependencies=[reader])
    def draft(study: str, request: Request) -> dict[str, Any]:
        """Return the current draft, sentence by sentence."""
        room.worklist.key(study)
        written = current_draft(sessions, spool, study)
        room.views.note(request, study)
        return told(written, sessions, spool)

    @router.get("/heat/{sentence}", dependencies=[reader], response_class=Response)
    def heat(study: str, sentence: str, request: Request) -> Response:
        """Return where a sentence comes from: a byte a voxel, and their grid as `X-Heat`."""
        room.worklist.key(study)
        found = heat_of(current_draft(sessions, spool, study), sentence, sessions)
        room.views.note(request, study)
        header = {"X-Heat": json.dumps(found.grid)}
        return Response(found.values, media_type="application/octet-stream", headers=header)

    @router.post("/presence")
    def presence(study: str, me: SignIn = looks_on) -> dict[str, Any]:
        """Tell that a page has the study open, every 20 seconds."""
        study_id = room.worklist.key(study)
        with sessions.begin() as session:
            now = now_of(session)
            tell_presence(session, study_id, me.person_name, now)
            session.flush()
            readers = readers_of(session, [study_id], now)
        return {"readers": readers.get(study_id, [])}

    return router
