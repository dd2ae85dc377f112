"""Deliveries that wait or failed, and the attempt that a person asks for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from plugin.administration.deliveries import deliveries, retry
from plugin.state.tables import DeliveryState
from plugin.web.routes.office import REFUSALS, Key, Limit, Name, Office, Told, page, telling

States = Annotated[list[DeliveryState], Query(description="without one, all")]
Delivery = Annotated[int, Path(ge=1, lt=2**63)]


def deliveries_router(office: Office) -> APIRouter:
    """Return the routes of deliveries."""
    router = APIRouter(prefix="/deliveries")

    @router.get("", responses=REFUSALS)
    def show(
        state: States = [],  # noqa: B006  FastAPI copies it
        destination: Name | None = None,
        before: Key | None = None,
        limit: Limit = 100,
    ) -> Told:
        """List deliveries, the newest first; `next` is the `before` of the next page."""
        rows = deliveries(office.sessions, [*state], destination, before, limit + 1)
        return {"deliveries": rows[:limit], "next": page(rows, limit, "id")}

    @router.post("/{delivery}/retry", status_code=202, responses=REFUSALS)
    def again(delivery: Delivery, request: Request) -> Told:
        """Try a delivery again at once."""
        with telling():
            settings, who = office.read_settings(), office.identify(request)
            return {"due": retry(settings, office.sessions, delivery, who)}

    return router
