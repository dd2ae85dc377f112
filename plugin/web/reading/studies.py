"""One study for its page: its row, its series, and what has happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from plugin.state.tables import Event, Study
from plugin.web.beside.priors import text_of
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import Refused
from plugin.web.dicomweb.qido import search
from plugin.web.dicomweb.query import Query
from plugin.web.reading.drafts import current_draft, series_read
from plugin.web.reading.worklist import Worklist

# A study's whole timeline is for the administrator
_STEPS = 50

Link = Callable[[str], str | None]
"""Returns the address of a study in another viewer."""


def study_told(archive: Archive, worklist: Worklist, uid: str, ohif: Link) -> dict[str, Any]:
    """Return a study as its page takes it.

    Parameters
    ----------
    archive : Archive
        Where it is.
    worklist : Worklist
        Knows its row.
    uid : str
        StudyInstanceUID.
    ohif : callable
        Its address in OHIF.

    Raises
    ------
    Refused
        There is no such study.
    """
    row = worklist.row(uid)
    series = _series(archive, uid)
    return {**row, "series": series, "ohif": ohif(uid), "timeline": _timeline(archive, uid)}


def _series(archive: Archive, uid: str) -> list[dict[str, Any]]:
    """Return the series that are here, by their numbers."""
    try:
        drafted = series_read(current_draft(archive.sessions, archive.spool, uid).report)
    except Refused:
        drafted = set()
    rows = search(archive, "series", Query(), StudyInstanceUID=uid).rows
    found = []
    for one in rows:
        series, number = text_of(one, "SeriesInstanceUID"), text_of(one, "SeriesNumber")
        found.append(
            {
                "series_instance_uid": series,
                "number": int(number) if number.lstrip("-").isdecimal() else None,
                "description": text_of(one, "SeriesDescription") or None,
                "modality": text_of(one, "Modality"),
                "images": int(text_of(one, "NumberOfSeriesRelatedInstances") or 0),
                "drafted": series in drafted,
            }
        )
    return sorted(found, key=lambda one: (one["number"] is None, one["number"] or 0))


def _timeline(archive: Archive, uid: str) -> list[dict[str, str]]:
    """Return the latest steps of a study, in their order."""
    query = select(Event.time, Event.kind, Event.message).join(Study, Study.id == Event.study_id)
    query = query.where(Study.study_instance_uid == uid).order_by(Event.id.desc()).limit(_STEPS)
    with archive.sessions() as session:
        rows = session.execute(query).all()
    return [
        {"at": time.isoformat(), "kind": kind, "text": message}
        for time, kind, message in reversed(rows)
    ]
