"""What changes while pages are open: `/api/events`, as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from plugin.web.access.sessions import Role
from plugin.web.dicomweb.problems import may_answer
from plugin.web.reading.room import Room

# The browser then comes again by itself, and its session is looked at again
_LONGEST_S = 300.0


def events_router(room: Room) -> APIRouter:
    """Return the route of the stream."""
    router = APIRouter(prefix="/api/events", tags=["reading"])

    @router.get(
        "",
        dependencies=[room.gate.allowed(Role.READER, uses=False)],
        responses=may_answer(),
        response_class=StreamingResponse,
    )
    async def follow() -> StreamingResponse:
        """Tell of studies that change (`study`) and are opened (`presence`)."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        lines = _for_a_while(room.feed.listen())
        return StreamingResponse(lines, media_type="text/event-stream", headers=headers)

    return router


async def _for_a_while(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    until = time.monotonic() + _LONGEST_S
    async for line in lines:
        yield line
        if time.monotonic() > until:
            return
