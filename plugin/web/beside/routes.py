"""The addresses of what stands beside a study, for an application that says who may use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.params import Depends

from plugin.feedback.similar import Embeddings
from plugin.web.beside.priors import received_priors, text_of
from plugin.web.beside.reports import report_of
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import may_answer
from plugin.web.dicomweb.qido import search
from plugin.web.dicomweb.query import Query
from plugin.web.dicomweb.routes import Identify, Views


def beside_router(archive: Archive, identify: Identify, may_read: Sequence[Depends]) -> APIRouter:
    """Return the routes of prior and similar studies.

    Parameters
    ----------
    archive : Archive
        Where studies are.
    identify : Identify
        Names who asks.
    may_read : sequence of Depends
        What every request must pass.
    """
    router = APIRouter(prefix="/api/studies", tags=["studies"], dependencies=[*may_read])
    beside = _Beside(archive, Views(archive.sessions, identify, "its report, beside another study"))
    router.add_api_route("/{study}/priors", beside.priors, responses=may_answer(404))
    router.add_api_route("/{study}/similar", beside.similar, responses=may_answer(404))
    return router


class _Beside:
    def __init__(self, archive: Archive, views: Views) -> None:
        self._archive = archive
        self._views = views
        self._embeddings = Embeddings(archive.sessions)

    def priors(self, request: Request, study: str) -> dict[str, Any]:
        """List the other studies of the patient, the latest first."""
        priors = []
        for one in received_priors(self._archive, study):
            self._views.note(request, one.study_instance_uid)
            told = vars(one) | {"report": one.report.text, "state": one.report.state}
            priors.append(told)
        return {"priors": priors}

    def similar(self, request: Request, study: str) -> dict[str, Any]:
        """List studies of other days and patients that look alike to the model."""
        self._archive.instances(study)
        found, among = self._embeddings.similar(study)
        cases = []
        for one in found:
            uid = one.study_instance_uid
            self._views.note(request, uid)
            report = report_of(self._archive, uid)
            told = {"report": report.text, "state": report.state}
            cases.append({**self._about(uid), "similarity": round(one.similarity, 4), **told})
        return {"cases": cases, "of": among}

    def _about(self, study: str) -> dict[str, str]:
        """Name a study without its patient; its images may be deleted."""
        rows = search(self._archive, "studies", Query.of([("StudyInstanceUID", study)])).rows
        header = rows[0] if rows else {}
        told = {"date": "StudyDate", "description": "StudyDescription"}
        return {"study_instance_uid": study} | {k: text_of(header, v) for k, v in told.items()}
