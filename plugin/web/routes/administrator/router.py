"""What administrators may do: `/api/admin`."""

from __future__ import annotations

from fastapi import APIRouter

from plugin.web.routes.administrator.audit import audit_router
from plugin.web.routes.administrator.deliveries import deliveries_router
from plugin.web.routes.administrator.models import models_router
from plugin.web.routes.administrator.rules import rules_router
from plugin.web.routes.administrator.service import service_router
from plugin.web.routes.administrator.studies import studies_router
from plugin.web.routes.office import Office


def administration_router(office: Office) -> APIRouter:
    """Return all routes of administrators."""
    router = APIRouter(prefix="/api/admin", tags=["administration"], dependencies=[*office.may])
    for of_resource in (
        studies_router,
        deliveries_router,
        service_router,
        rules_router,
        models_router,
        audit_router,
    ):
        router.include_router(of_resource(office))
    return router
