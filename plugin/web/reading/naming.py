"""Patient and study of each row of the list, read from a header once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from threading import Event

from pydicom import dcmread
from sqlalchemy import exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from plugin.state.database import reason_of
from plugin.state.kept.listings import Listing
from plugin.state.tables import Draft, Study
from plugin.web.beside.priors import Attributes, text_of
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.qido import search
from plugin.web.dicomweb.query import Query

LOGGER = logging.getLogger(__name__)
# Whoever searches by name finds a study that came so long ago; rows on a page are named at once
_PAUSE_S = 30.0
_BATCH = 100

_COLUMNS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "description": "StudyDescription",
    "study_date": "StudyDate",
}
_LENGTHS = {"birth_date": 8, "sex": 16, "study_date": 8}


def keep_named(archive: Archive, ended: Event) -> None:
    """Name the studies that came, until an event is set; the newest first."""
    while not ended.wait(_PAUSE_S):
        try:
            while name_some(archive) and not ended.is_set():
                pass
        except DBAPIError as error:
            LOGGER.debug("no study is named: %s", reason_of(error))


def name_some(archive: Archive) -> int:
    """Name some studies that have no name yet; returns how many."""
    unnamed = ~exists().where(Listing.study_id == Study.id)
    query = select(Study.id).where(unnamed).order_by(Study.id.desc()).limit(_BATCH)
    with archive.sessions() as session:
        found = session.scalars(query).all()
    name_studies(archive, found)
    return len(found)


def name_studies(archive: Archive, study_ids: Iterable[int]) -> None:
    """Name some studies; one that another process has named meanwhile stays as it is.

    Parameters
    ----------
    archive : Archive
        Where their headers are.
    study_ids : iterable of int
        Keys of the studies.
    """
    rows = [_listing(archive, study_id) for study_id in study_ids]
    if not rows:
        return
    with archive.sessions.begin() as session:
        dialect = session.get_bind().dialect.name
        insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        # A study that was deleted meanwhile has no row to stand beside
        kept = set(session.scalars(select(Study.id).where(Study.id.in_(study_ids))))
        rows = [row for row in rows if row["study_id"] in kept]
        if rows:
            session.execute(insert(Listing).values(rows).on_conflict_do_nothing())


def _listing(archive: Archive, study_id: int) -> dict[str, object]:
    header = _header(archive, study_id)
    row: dict[str, object] = {"study_id": study_id}
    for column, keyword in _COLUMNS.items():
        text = text_of(header, keyword)
        row[column] = text[: _LENGTHS.get(column)] or None
    row["sought"] = words_of(text_of(header, "PatientName"))
    return row


def words_of(name: str) -> str:
    """Return a name as it is searched: small letters, and nothing between its words but a space."""
    return " ".join(name.casefold().replace("^", " ").replace("=", " ").split())


def _header(archive: Archive, study_id: int) -> Attributes:
    """Read a header of a study; of its draft where the images are deleted, as retention says."""
    current = select(Draft.path).where(Draft.study_id == study_id, Draft.is_current)
    with archive.sessions() as session:
        uid = session.scalar(select(Study.study_instance_uid).where(Study.id == study_id))
        path = session.scalar(current.where(Draft.path != ""))
    rows = search(archive, "studies", Query.of([("StudyInstanceUID", uid or "")])).rows
    if rows:
        return rows[0]
    with suppress(OSError):
        if path:
            wanted = list(_COLUMNS.values())
            found = dcmread(archive.spool.absolute(path), specific_tags=wanted)
            return found.to_json_dict()
    return {}
