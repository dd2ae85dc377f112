"""The addresses of what stands beside a study, for an application that says who may use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request
from fastapi.params import Depends

from dicom_io.errors import (
    AssociationRejected,
    DicomError,
    MissingAttribute,
    PeerUnreachable,
    SopClassRefused,
    UnreadableText,
)
from plugin.feedback.similar import Embeddings
from plugin.web.beside.archived import ArchivedPriors
from plugin.web.beside.priors import received_priors, text_of, whose
from plugin.web.beside.reports import report_of
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.dicomweb.qido import search
from plugin.web.dicomweb.query import Query
from plugin.web.dicomweb.routes import Identify, Views


def beside_router(
    archive: Archive,
    identify: Identify,
    may_read: Sequence[Depends],
    elsewhere: ArchivedPriors | None = None,
) -> APIRouter:
    """Return the routes of prior and similar studies.

    Parameters
    ----------
    archive : Archive
        Where studies are.
    identify : Identify
        Names who asks.
    may_read : sequence of Depends
        What every request must pass.
    elsewhere : ArchivedPriors, optional
        Another archive that is asked for prior studies.
    """
    router = APIRouter(prefix="/api/studies", tags=["studies"], dependencies=[*may_read])
    beside = _Beside(archive, Views(archive.sessions, identify, "its report, beside another study"))
    router.add_api_route("/{study}/priors", beside.priors, responses=may_answer(404))
    archived = _Archived(archive, identify, elsewhere)
    may_fail = may_answer(404, 409, 502, 504)
    router.add_api_route("/{study}/archived", archived.priors, responses=may_fail)
    router.add_api_route("/{study}/archived/{prior}", archived.reports, responses=may_fail)
    router.add_api_route("/{study}/similar", beside.similar, responses=may_answer(404))
    return router


class _Archived:
    """The routes of what an archive holds; without one there is nothing."""

    def __init__(
        self, archive: Archive, identify: Identify, elsewhere: ArchivedPriors | None
    ) -> None:
        self._archive = archive
        self._elsewhere = elsewhere
        listed, read = "its date, beside another study", "its report, beside another study"
        self._listed = Views(archive.sessions, identify, listed)
        self._read = Views(archive.sessions, identify, read)

    def priors(self, request: Request, study: str) -> dict[str, Any]:
        """List the other studies of the patient in the archive of the settings, the latest first.

        Studies of its number that are somebody else's are counted, and not told.
        """
        own, elsewhere = whose(self._archive, study), self._elsewhere
        if elsewhere is None or not own.patient_id:
            return {"archive": None, "priors": [], "withheld": 0}
        with _refusing():
            found = elsewhere.studies(own)
        held = [one for one in found.held if one.study_instance_uid != study]
        for one in held:
            self._listed.note(request, one.study_instance_uid, own.patient_id)
        held.sort(key=lambda one: one.date, reverse=True)
        told = [vars(one) | {"modality": ", ".join(one.modalities)} for one in held]
        return {"archive": elsewhere.name, "priors": told, "withheld": found.withheld}

    def reports(self, request: Request, study: str, prior: str) -> dict[str, Any]:
        """Fetch the reports of one of these studies, as text, the latest first."""
        own, elsewhere = whose(self._archive, study), self._elsewhere
        if elsewhere is None:
            raise Refused(404, "not-found", "the settings name no archive of prior studies")
        with _refusing():
            # Whoever may read a study may not read every other one in the archive
            if prior not in {one.study_instance_uid for one in elsewhere.studies(own).held}:
                raise Refused(404, "not-found", "the archive shows no such study of the patient")
            found = elsewhere.reports(own, prior)
        self._read.note(request, prior, own.patient_id)
        return {"reports": [vars(one) for one in found]}


@contextmanager
def _refusing() -> Iterator[None]:
    """Say for a person why an archive gives nothing; its own words stay here."""
    try:
        yield
    except PeerUnreachable as error:
        raise Refused(504, "archive-silent", "the archive does not answer in time") from error
    except SopClassRefused as error:
        told = "the archive lists studies, and gives no objects (no C-GET)"
        raise Refused(502, "archive-only-lists", told) from error
    except AssociationRejected as error:
        raise Refused(502, "archive-refuses", "the archive refuses to answer") from error
    except (MissingAttribute, UnreadableText) as error:
        raise Refused(409, "number-unclear", str(error)) from error
    except DicomError as error:
        raise Refused(502, "archive-unreadable", "the archive's answer is unreadable") from error


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
