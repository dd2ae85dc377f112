"""All routes of the reading room, for the application that serves them."""

from __future__ import annotations

from fastapi import APIRouter

from plugin.web.reading.room import Room
from plugin.web.routes.events import events_router
from plugin.web.routes.reviews import reviews_router
from plugin.web.routes.studies import studies_router
from plugin.web.routes.templates import templates_router
from plugin.web.routes.worklist import worklist_router


def reading_routers(room: Room) -> list[APIRouter]:
    """Return the routes that read and review studies."""
    makers = (worklist_router, studies_router, reviews_router, templates_router, events_router)
    return [make(room) for make in makers]
