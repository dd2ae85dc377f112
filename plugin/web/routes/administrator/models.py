"""The models of the service: compared on the same studies, and one put in another's place."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel

from plugin.administration.models import (
    compared,
    comparison_to_dict,
    models_to_dict,
    promote_named,
)
from plugin.feedback.promotion import roll_back
from plugin.state.clock import now_by
from plugin.web.routes.office import REFUSALS, Moment, Name, Office, Told, telling


class Promoted(BaseModel):
    """The model that is to be the service's own."""

    name: Name


def models_router(office: Office) -> APIRouter:
    """Return the routes of models."""
    router = APIRouter(prefix="/models")

    @router.get("", responses=REFUSALS)
    def show() -> Told:
        """List the models of the settings, those on trial, and whose drafts there are."""
        with telling():
            return models_to_dict(office.read_settings(), office.sessions)

    @router.get("/comparison", responses=REFUSALS)
    def compare(model: Name, since: Moment | None = None) -> Told:
        """Compare a model on trial with the current one, on the same studies."""
        with telling():
            return comparison_to_dict(compared(office.sessions, office.spool, model, since))

    @router.post("/promote", responses=REFUSALS)
    def promote(wanted: Promoted, request: Request) -> Told:
        """Make a model the service's own; workers start again with it."""
        with telling():
            settings, who = office.read_settings(), office.identify(request)
            before = promote_named(settings, office.sessions, wanted.name, who)
        return {"current": wanted.name, "before": before}

    @router.post("/rollback", responses=REFUSALS)
    def go_back(request: Request) -> Told:
        """Take the model before the latest promotion again."""
        with telling():
            who = office.identify(request)
            return {"current": roll_back(office.sessions, now_by(office.sessions), who)}

    return router
