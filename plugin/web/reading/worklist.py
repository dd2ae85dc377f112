"""The list of studies: filtered, searched, and a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from plugin.reception.header import valid_uid
from plugin.rules.urgency import Urgency
from plugin.state.clock import now_of
from plugin.state.kept.listings import Listing
from plugin.state.kept.reviews import Review
from plugin.state.tables import Study
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import Refused
from plugin.web.reading.naming import name_studies, words_of
from plugin.web.reading.presence import readers_of
from plugin.web.reading.rows import (
    CURRENT,
    UNDECIDED,
    State,
    joined,
    state_of,
    undelivered,
    urgency_of,
)
from plugin.web.reading.shared import Shared

LARGEST_PAGE = 200
# Readers know three; what a rule calls low is read as routine
URGENCIES = {
    Urgency.STAT: "stat",
    Urgency.HIGH: "urgent",
    Urgency.ROUTINE: "routine",
    Urgency.LOW: "routine",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """What a reader wants to see; what is empty asks for all.

    Parameters
    ----------
    states : frozenset of State
    urgencies : frozenset of str
        "stat", "urgent", "routine".
    models : frozenset of str
        Names of the models that drafted.
    search : str
        Words of a patient's name, the beginning of an accession number, or a whole UID.
    """

    states: frozenset[State] = frozenset()
    urgencies: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    search: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        """All but the states, as conditions."""
        found: list[ColumnElement[bool]] = []
        if self.urgencies:
            values = [int(one) for one, word in URGENCIES.items() if word in self.urgencies]
            found.append(urgency_of().in_(values))
        if self.models:
            found.append(CURRENT.model_name.in_(self.models))
        if sought := self.search.strip():
            words = (
                Listing.sought.contains(one, autoescape=True) for one in words_of(sought).split()
            )
            by_number = Study.accession_number.startswith(sought, autoescape=True)
            found.append(or_(and_(*words), by_number, Study.study_instance_uid == sought))
        return found


class Worklist:
    """Lists studies.

    Parameters
    ----------
    archive : Archive
        With the database, and the headers that name studies.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._reading = archive.sessions
        self._pages = Shared[tuple[list[Row], str | None]]()
        self._counts = Shared[dict[str, int]]()

    def page(self, wanted: Filter, limit: int, after: str | None) -> tuple[list[Row], str | None]:
        """Return some rows, and after which one the next page begins.

        Where only undecided studies are asked for, the most urgent come first, and of these the
        one that waits longest; else the one that came last.

        Parameters
        ----------
        wanted : Filter
        limit : int
            Rows of a page.
        after : str, optional
            StudyInstanceUID of the last row of the page before.
        """
        asked = wanted, limit, after
        return self._pages.get(asked, lambda: self._page(*asked))

    def _page(self, wanted: Filter, limit: int, after: str | None) -> tuple[list[Row], str | None]:
        with self._reading() as session:
            now = now_of(session)
            found = session.execute(_page(session, wanted, after, now).limit(limit + 1)).all()
            unnamed = [row.id for row in found if row.listed is None]
        if unnamed:
            name_studies(self._archive, unnamed)
        with self._reading() as session:
            rows = rows_of(session, [row.id for row in found[:limit]], now)
        return rows, rows[-1]["study_instance_uid"] if len(found) > limit and rows else None

    def row(self, study_instance_uid: str) -> Row:
        """Return the row of a study.

        Raises
        ------
        Refused
            There is none.
        """
        study_id = self.key(study_instance_uid)
        with self._reading() as session:
            if session.get(Listing, study_id) is not None:
                return rows_of(session, [study_id], now_of(session))[0]
        name_studies(self._archive, [study_id])
        with self._reading() as session:
            return rows_of(session, [study_id], now_of(session))[0]

    def key(self, study_instance_uid: str) -> int:
        """Return the key of a study.

        Raises
        ------
        Refused
            There is none.
        """
        query = select(Study.id).where(Study.study_instance_uid == study_instance_uid)
        with self._reading() as session:
            found = session.scalar(query) if valid_uid(study_instance_uid) else None
        if found is None:
            raise Refused(404, "not-found", "no study here has this UID")
        return found

    def counts(self, wanted: Filter) -> Mapping[str, int]:
        """Return how many studies stand where, whatever states are asked for."""
        key = replace(wanted, states=frozenset())
        return self._counts.get(key, lambda: self._count(key))

    def _count(self, wanted: Filter) -> dict[str, int]:
        with self._reading() as session:
            state = state_of(now_of(session)).label("state")
            query = joined(select(state, func.count())).where(*wanted.conditions())
            rows = session.execute(query.group_by(state))
            return {name: int(number) for name, number in rows}


def _page(session: Session, wanted: Filter, after: str | None, now: datetime) -> Any:
    state, urgency = state_of(now), urgency_of()
    query = joined(select(Study.id, Listing.study_id.label("listed"))).where(*wanted.conditions())
    if wanted.states:
        query = query.where(state.in_([str(one) for one in wanted.states]))
    waiting = bool(wanted.states) and wanted.states <= UNDECIDED
    came: list[Any] = [Study.first_received_at, Study.id]
    keys = [urgency, *came] if waiting else came
    if after is not None:
        last = joined(select(*keys)).where(Study.study_instance_uid == after)
        place = session.execute(last).one_or_none()
        if place is None:
            raise Refused(400, "bad-page", "the page before this one is not known any more")
        here = tuple_(*(literal(one, key.type) for one, key in zip(place, keys, strict=True)))
        query = query.where(tuple_(*keys) > here if waiting else tuple_(*keys) < here)
    return query.order_by(*(keys if waiting else (one.desc() for one in keys)))


def rows_of(session: Session, study_ids: Sequence[int], now: datetime) -> list[Row]:
    """Return the rows of some studies in their order.

    Parameters
    ----------
    session : Session
        The database.
    study_ids : sequence of int
        Keys of the studies.
    now : datetime
        The moment, in UTC.
    """
    columns = select(
        Study,
        Listing,
        CURRENT.model_name,
        CURRENT.revision,
        Review.saved_by,
        state_of(now).label("state"),
        urgency_of().label("urgency"),
        undelivered().label("undelivered"),
    )
    rows = session.execute(joined(columns).where(Study.id.in_(study_ids)))
    found = {row.Study.id: row for row in rows}
    readers = readers_of(session, study_ids, now)
    return [_told(found[one], readers.get(one, [])) for one in study_ids if one in found]


def _told(row: Any, readers: Sequence[Mapping[str, Any]]) -> Row:
    named: Listing = row.Listing or Listing()
    return {
        "study_instance_uid": row.Study.study_instance_uid,
        "accession_number": row.Study.accession_number,
        "patient": {
            "name": named.patient_name,
            "id": named.patient_id,
            "birth_date": date_of(named.birth_date),
            "sex": named.sex,
        },
        "description": named.description,
        "study_date": date_of(named.study_date),
        "received_at": row.Study.first_received_at.isoformat(),
        "urgency": URGENCIES[Urgency(row.urgency)],
        "state": row.state,
        "model": row.model_name,
        "revision": row.revision,
        "readers": [one["name"] for one in readers],
        "reviewed_by": row.saved_by if row.state in _DECIDED else None,
        "undelivered": row.undelivered,
    }


_DECIDED = (State.LATER, State.ACCEPTED, State.REJECTED)


def date_of(written: str | None) -> str | None:
    """Turn a date as DICOM writes it into one of ISO 8601; None where it is none."""
    if written is None or len(written) != 8 or not written.isdecimal():
        return None
    return f"{written[:4]}-{written[4:6]}-{written[6:]}"
