"""Why is there no draft? The studies of the service, their timelines, and what mends them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from plugin.administration.drafts import redraft, retract
from plugin.administration.overview import study_to_dict, timelines
from plugin.administration.study_list import StudyList
from plugin.state.tables import StudyState
from plugin.web.dicomweb.routes import Views
from plugin.web.routes.office import REFUSALS, Limit, Moment, Name, Office, Reason, Told, telling
from plugin.workplace import patience_of, taking_notes

Uid = Annotated[str, Path(max_length=70, pattern=r"^[0-9.]+$")]


def studies_router(office: Office) -> APIRouter:
    """Return the routes of single studies."""
    router = APIRouter(prefix="/studies")
    views = Views(office.sessions, office.identify, "its timeline")

    @router.get("", responses=REFUSALS)
    def studies(
        number: Annotated[Name | None, Query(description="accession number or UID")] = None,
        failed: Annotated[bool, Query(description="only those that want a person")] = False,
        state: StudyState | None = None,
        sender: Name | None = None,
        since: Moment | None = None,
        before: Moment | None = None,
        limit: Limit = 50,
    ) -> Told:
        """List studies, the latest first, with where each stands."""
        wanted = StudyList(failed, state, sender, since, limit, number, before)
        with office.sessions() as session:
            rows = [
                {**study_to_dict(session, one), "accession_number": one.accession_number}
                for one in session.scalars(wanted.query())
            ]
        return {"studies": rows}

    @router.get("/{study}/timeline", responses=REFUSALS)
    def timeline(study: Uid, request: Request) -> Told:
        """Tell what happened to a study, step by step, and why there is (no) draft."""
        with telling(), office.sessions() as session:
            (found,) = timelines(session, study)
        views.note(request, study)
        return found

    @router.post("/{study}/redraft", status_code=202, responses=REFUSALS)
    def draft_again(study: Uid, why: Reason, request: Request) -> Told:
        """Have a new draft made, even if no slice is new."""
        with telling():
            patience = patience_of(office.read_settings())
            redraft(office.sessions, study, patience, office.identify(request), why.reason)
        return {"study_instance_uid": study}

    @router.post("/{study}/retract", responses=REFUSALS)
    def take_back(study: Uid, why: Reason, request: Request) -> Told:
        """Take the present draft back: it is not sent any more, and rejected where it is."""
        who = office.identify(request)
        with telling():
            notes = taking_notes(office.read_settings())
            taken = retract(office.sessions, office.spool, study, notes, who, why.reason)
        return {"revision": taken.revision, "draft": taken.draft, **taken.where._asdict()}

    return router
