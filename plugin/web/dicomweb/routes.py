"""The addresses of DICOMweb, for an application that says who may use them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import anyio.from_thread
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.params import Depends
from starlette.requests import ClientDisconnect

from dicom_io.errors import NotRetrieved
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, Who
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.metadata import ROOT
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.dicomweb.qido import search
from plugin.web.dicomweb.query import Query
from plugin.web.dicomweb.stow import Storing, answer
from plugin.web.dicomweb.wado import JSON, Wado

Identify = Callable[[Request], Who]
"""Names who asks, of a request that was let in."""
# A viewer asks for the hundreds of slices of a study one by one: that is one view of it
_ONE_VIEW_S = 900.0
_MOST_VIEWS = 10_000


class Views:
    """Tells the audit trail who sees which study, once for each time that somebody opens it.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    identify : Identify
        Names who asks.
    what : str
        Of the study is shown.
    """

    def __init__(self, sessions: SessionFactory, identify: Identify, what: str) -> None:
        self._sessions = sessions
        self._identify = identify
        self._what = what
        self._lock = threading.Lock()
        self._until: dict[tuple[str, str | None], float] = {}

    def note(self, request: Request, study: str | None, patient_id: str | None = None) -> None:
        """Write that a study is shown, or a list of them, unless that was just written.

        Parameters
        ----------
        request : Request
            Of who sees it.
        study : str, optional
            StudyInstanceUID; None is a list.
        patient_id : str, optional
            Whose it is, where the study never was here.
        """
        who = self._identify(request)
        now, key = time.monotonic(), (str(who), study)
        with self._lock:
            if self._until.get(key, 0) > now:
                return
            if len(self._until) > _MOST_VIEWS:
                self._until = {one: until for one, until in self._until.items() if until > now}
            self._until[key] = now + _ONE_VIEW_S
        subject = Subject(study_instance_uid=study, patient_id=patient_id) if study else None
        entry = Entry(action=Action.VIEWED, who=who, study=subject, detail=self._what)
        with self._sessions.begin() as session:
            audit.record(session, entry, now=now_of(session))


def dicomweb_router(
    archive: Archive,
    storing: Storing,
    identify: Identify,
    *,
    may_read: Sequence[Depends] = (),
    may_store: Sequence[Depends] = (),
) -> APIRouter:
    """Return the routes of QIDO-RS, WADO-RS and STOW-RS.

    Parameters
    ----------
    archive : Archive
        What is searched and retrieved.
    storing : Storing
        Stores what is sent; it must be running.
    identify : Identify
        Names who asks.
    may_read, may_store : sequence of Depends
        What every request must pass.
    """
    router = APIRouter(prefix=ROOT, tags=["DICOMweb"])
    retrieving = Wado(archive, Views(archive.sessions, identify, "images, by DICOMweb").note)
    refused = may_answer(400, 404, 406, 409)

    def add(path: str, endpoint: Callable[..., Any]) -> None:
        router.add_api_route(
            path, endpoint, dependencies=[*may_read], responses=refused, response_class=Response
        )

    searching = _Searching(archive)
    add("/studies", searching.studies)
    add("/series", searching.series)
    add("/instances", searching.instances)
    add("/studies/{study}/series", searching.series)
    add("/studies/{study}/instances", searching.instances)
    add("/studies/{study}/series/{series}/instances", searching.instances)
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = f"{series}/instances/{{instance}}"
    for level in (study, series, instance):
        add(level, retrieving.objects)
        add(f"{level}/metadata", retrieving.metadata)
        add(f"{level}/thumbnail", retrieving.thumbnail)
    add(f"{instance}/rendered", retrieving.rendered)
    add(f"{instance}/frames/{{frames}}", retrieving.frames)
    add(f"{instance}/frames/{{frames}}/rendered", retrieving.rendered)
    add(f"{instance}/bulkdata/{{tag}}", retrieving.bulk_data)
    _add_storing(router, _Receiving(storing, identify), may_store)
    return router


def _add_storing(router: APIRouter, receiving: _Receiving, may_store: Sequence[Depends]) -> None:
    for path in ("/studies", "/studies/{study}"):
        router.add_api_route(
            path,
            receiving.store,
            methods=["POST"],
            dependencies=[*may_store],
            responses=may_answer(400, 409, 415),
            response_class=Response,
        )


class _Searching:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def studies(self, request: Request) -> Response:
        """Search studies."""
        return self._search(request, "studies")

    def series(self, request: Request, study: str | None = None) -> Response:
        """Search series."""
        return self._search(request, "series", StudyInstanceUID=study)

    def instances(
        self, request: Request, study: str | None = None, series: str | None = None
    ) -> Response:
        """Search instances."""
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        return self._search(request, "instances", **uids)

    def _search(self, request: Request, level: str, **uids: str | None) -> Response:
        parameters = request.query_params.multi_items()
        query = Query.of((name, value) for name, value in parameters if name != "accept")
        found = search(self._archive, level, query, **uids)
        headers = {}
        if query.fuzzy:
            # The words of PS3.18 8.3.4.2
            headers["Warning"] = (
                '299 ctscribe: "The fuzzymatching parameter is not supported. '
                'Only literal matching has been performed."'
            )
        elif found.more:
            headers["Warning"] = (
                '299 ctscribe: "There are additional results that can be requested"'
            )
        return Response(json.dumps(found.rows), media_type=JSON, headers=headers)


class _Receiving:
    def __init__(self, storing: Storing, identify: Identify) -> None:
        self._storing = storing
        self._identify = identify

    async def store(self, request: Request, study: str | None = None) -> Response:
        """Store instances."""
        content_type = request.headers.get("content-type", "")
        if not _is_dicom(content_type):
            raise Refused(415, "not-supported", "instances are taken as application/dicom only")
        pieces = _pieces(request.stream())
        stored = await run_in_threadpool(
            self._storing.store, pieces, content_type, self._identify(request), study
        )
        if not stored:
            raise Refused(400, "bad-body", "the body holds no instance")
        status, found = answer(stored, study)
        return Response(json.dumps(found), status_code=status, media_type=JSON)


def _is_dicom(content_type: str) -> bool:
    kind, _, parameters = content_type.lower().partition(";")
    if kind.strip() == "application/dicom":
        return True
    plain = parameters.replace('"', "").replace(" ", "")
    return kind.strip() == "multipart/related" and "type=application/dicom;" in f"{plain};"


def _pieces(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Read a request's body from the thread that stores it: the sender is never outrun."""
    while True:
        try:
            piece = anyio.from_thread.run(_next, stream)
        except ClientDisconnect:
            raise NotRetrieved("the body is cut off") from None
        if piece is None:
            return
        yield piece


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
