"""The service as a whole: what it has to do, and what is on its disk."""

from __future__ import annotations

from fastapi import APIRouter

from plugin.administration.disk import disk_to_dict
from plugin.administration.load import load_to_dict
from plugin.administration.refusals import refusals as refused
from plugin.housekeeping import limits_of
from plugin.web.routes.office import REFUSALS, Moment, Office, Told, telling


def service_router(office: Office) -> APIRouter:
    """Return the routes of the service's state."""
    router = APIRouter()

    @router.get("/queue", responses=REFUSALS)
    def queue() -> Told:
        """Tell what waits, by state and urgency, and what the last hours brought."""
        return load_to_dict(office.sessions, office.spool.root)

    @router.get("/disk", responses=REFUSALS)
    def disk() -> Told:
        """Tell how full the disk is, what goes next, and what stays although it is old."""
        with telling():
            settings = office.read_settings()
            told = disk_to_dict(office.sessions, office.spool, limits_of(settings))
        return {"enabled": settings.retention.enabled, **told}

    @router.get("/refusals", responses=REFUSALS)
    def refusals(since: Moment | None = None) -> Told:
        """Tell which senders were refused since a moment, by default for a day, and why."""
        return {"refusals": refused(office.sessions, since)}

    return router
