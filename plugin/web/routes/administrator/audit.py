"""The audit trail, the newest entries first; to read it is an entry, too."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import Select, select

from plugin.state import audit
from plugin.state.audit import Action, AuditRow, Entry
from plugin.state.clock import now_of
from plugin.web.routes.office import REFUSALS, Key, Limit, Moment, Name, Office, Told, page


def audit_router(office: Office) -> APIRouter:
    """Return the route of the audit trail."""
    router = APIRouter(prefix="/audit")

    @router.get("", responses=REFUSALS)
    def show(
        request: Request,
        study: Annotated[Name | None, Query(description="Study Instance UID")] = None,
        person: Annotated[Name | None, Query(description="or process, or node")] = None,
        action: Action | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        before: Key | None = None,
        limit: Limit = 100,
    ) -> Told:
        """List entries, the newest first; `next` is the `before` of the next page."""
        chosen = _of(person, action).order_by(AuditRow.position.desc()).limit(limit + 1)
        if study is not None:
            chosen = chosen.where(AuditRow.study_instance_uid == study)
        if since is not None:
            chosen = chosen.where(AuditRow.time >= since)
        if until is not None:
            chosen = chosen.where(AuditRow.time < until)
        if before is not None:
            chosen = chosen.where(AuditRow.position < before)
        read = Entry(action=Action.TRAIL_READ, who=office.identify(request), detail="in a browser")
        with office.sessions.begin() as session:
            audit.record(session, read, now=now_of(session))
            rows = [
                {"position": row.position, **json.loads(row.record), "hash": row.hash}
                for row in session.scalars(chosen)
            ]
        return {"entries": rows[:limit], "next": page(rows, limit, "position")}

    return router


def _of(person: str | None, action: Action | None) -> Select[AuditRow]:
    """Choose by what stands in the records, whose keys are in one order."""
    chosen = select(AuditRow)
    for key, value in (("name", person), ("action", action)):
        if value is not None:
            said = f'"{key}": {json.dumps(value, ensure_ascii=False)}'
            chosen = chosen.where(AuditRow.record.contains(said, autoescape=True))
    return chosen
