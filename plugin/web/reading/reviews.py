"""The review of a study: edited, put off, taken up again; nothing is overwritten unseen.

Whoever changes a review names the version that they saw. The study is locked first, so that
changes come one after another, whoever makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, Who
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.reviews import Review, ReviewState, ReviewStep
from plugin.state.kinds import Kind
from plugin.state.running.bell import ring
from plugin.state.studies import lock_study
from plugin.state.tables import DeliveryState, Draft, Final, Study
from plugin.state.timeline import add_event
from plugin.web.dicomweb.problems import Refused
from plugin.web.reading.drafts import plain_sections, read_report
from plugin.web.reading.presence import readers_of

Sections = list[dict[str, str]]
DECIDED = (ReviewState.ACCEPTED, ReviewState.REJECTED)


@dataclass(frozen=True)
class Reader:
    """Who reviews: as people are shown, and as the audit trail names them."""

    name: str
    who: Who


class Outdated(Exception):
    """Somebody else has changed the review since it was seen."""


@dataclass(frozen=True)
class Standing:
    """A study whose review is changed: locked, with what stands of it.

    Parameters
    ----------
    session : Session
        The transaction.
    study : Study
        Locked.
    draft : Draft
        The current one.
    review : Review or None
        None where nobody has changed anything yet.
    now : datetime
        The moment, in UTC.
    """

    session: Session
    study: Study
    draft: Draft
    review: Review | None
    now: datetime

    def require_open(self) -> None:
        """Refuse to change what was decided, or was taken back."""
        if self.draft.retraction_path is not None:
            raise Refused(409, "retracted", "the draft was taken back")
        if self.review is not None and self.review.state in DECIDED:
            what = f"the report was {self.review.state}: reopen it first"
            raise Refused(409, "decided", what)


class Reviews:
    """The reviews of a service.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    """

    def __init__(self, sessions: SessionFactory, spool: Spool) -> None:
        self.sessions = sessions
        self.spool = spool

    def show(self, uid: str) -> dict[str, Any]:
        """Return the review of a study as pages take it; one that nobody began is the draft.

        Raises
        ------
        Refused
            There is no such study, or no draft of it.
        """
        with self.sessions() as session:
            study, draft, review = found(session, uid)
            sections = review.sections if review else self.drafted_sections(draft)
            readers = readers_of(session, [study.id], now_of(session)).get(study.id, [])
            told = _told(draft, review)
            return {
                **told,
                "sections": sections,
                "readers": readers,
                "object": _object(session, study),
            }

    def drafted_sections(self, draft: Draft) -> Sections:
        """Return the text of a draft, section by section."""
        return plain_sections(read_report(self.spool, draft))

    @contextmanager
    def changing(self, uid: str, version: int | None) -> Iterator[Standing]:
        """Change the review of a study within a `with` block.

        Parameters
        ----------
        uid : str
            StudyInstanceUID.
        version : int, optional
            That was seen; None is any.

        Raises
        ------
        Refused
            There is no such study, or no draft of it.
        Outdated
            Another version stands.
        """
        with self.sessions.begin() as session:
            study, _, _ = found(session, uid)
            lock_study(session, study.id)
            study, draft, review = found(session, uid)
            if version is not None and version != (review.version if review else 0):
                raise Outdated
            yield Standing(session, study, draft, review, now_of(session))
            ring(session)

    def save(self, uid: str, sections: Sections, version: int, reader: Reader) -> None:
        """Keep a text; who saved last is followed by whoever saves next, and no text is lost.

        Parameters
        ----------
        uid : str
            StudyInstanceUID.
        sections : list of dict
            The whole text.
        version : int
            That was edited.
        reader : Reader
            Who edits.

        Raises
        ------
        Refused, Outdated
            It cannot be edited now.
        """
        with self.changing(uid, version) as standing:
            standing.require_open()
            review = self.begun(standing, reader)
            review.sections = sections
            if review.state == ReviewState.LATER:
                review.state, review.until = ReviewState.OPEN, None
            note_step(standing, review, "edited", reader)

    def put_off(self, uid: str, version: int, until: datetime | None, reader: Reader) -> None:
        """Have a study out of the list of what waits, until a moment or until it is looked for.

        Parameters
        ----------
        uid : str
            StudyInstanceUID.
        version : int
            That was seen.
        until : datetime, optional
            When it waits again, with a time zone.
        reader : Reader
            Who decides.

        Raises
        ------
        Refused, Outdated
            It cannot be put off now.
        """
        with self.changing(uid, version) as standing:
            standing.require_open()
            review = self.begun(standing, reader)
            review.state, review.until = ReviewState.LATER, until
            note_step(standing, review, "later", reader)

    def reopen(self, uid: str, reader: Reader) -> None:
        """Take up a review that was decided or put off, upon the draft that stands now.

        Parameters
        ----------
        uid : str
            StudyInstanceUID.
        reader : Reader
            Who takes it up.

        Raises
        ------
        Refused
            There is no review, or no draft.
        """
        with self.changing(uid, None) as standing:
            review = standing.review
            if review is None:
                raise Refused(409, "nothing-decided", "nobody has reviewed the study yet")
            review.draft_id, review.draft = standing.draft.id, standing.draft
            review.state, review.until, review.reason = ReviewState.OPEN, None, None
            note_step(standing, review, "reopened", reader)

    def begun(self, standing: Standing, reader: Reader) -> Review:
        """Return the review that stands, or begin one with the text of the draft.

        Parameters
        ----------
        standing : Standing
            Of the study.
        reader : Reader
            Who begins it.
        """
        if standing.review is not None:
            return standing.review
        review = Review(study_id=standing.study.id, draft=standing.draft, version=0)
        review.sections, review.state = self.drafted_sections(standing.draft), ReviewState.OPEN
        review.saved_at, review.saved_by = standing.now, reader.name
        standing.session.add(review)
        return review


def note_step(standing: Standing, review: Review, action: str, reader: Reader) -> None:
    """Write down what somebody did; edits of one person in a row are one step.

    Parameters
    ----------
    standing : Standing
        Of the study.
    review : Review
        As it is from now on.
    action : str
        "edited", "later", "reopened", "accepted" or "rejected".
    reader : Reader
        Who did it.
    """
    review.version += 1
    review.saved_at, review.saved_by = standing.now, reader.name
    last = review.steps[-1] if review.steps else None
    edits_on = last is not None and last.action == action == "edited"
    if edits_on and last is not None and last.by == reader.name:
        last.at, last.sections = standing.now, review.sections
        return
    review.steps.append(
        ReviewStep(at=standing.now, by=reader.name, action=action, sections=review.sections)
    )
    if action in ("edited", "later", "reopened"):
        message = f"draft {standing.draft.revision}: a reader has {_DONE[action]}"
        add_event(
            standing.session, Kind.REVIEWED, message, now=standing.now, study_id=standing.study.id
        )
        subject = Subject(study_instance_uid=standing.study.study_instance_uid)
        entry = Entry(action=Action.CHANGED, who=reader.who, study=subject, detail=action)
        audit.record(standing.session, entry, now=standing.now)


_DONE = {"edited": "edited the text", "later": "put it off", "reopened": "taken it up again"}


def found(session: Session, uid: str) -> tuple[Study, Draft, Review | None]:
    """Return a study, its current draft and its review.

    Parameters
    ----------
    session : Session
        The database.
    uid : str
        StudyInstanceUID.

    Raises
    ------
    Refused
        There is no such study, or no draft of it.
    """
    query = (
        select(Study, Draft, Review)
        .outerjoin(Draft, (Draft.study_id == Study.id) & Draft.is_current)
        .outerjoin(Review, Review.study_id == Study.id)
        .where(Study.study_instance_uid == uid)
        .execution_options(populate_existing=True)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        raise Refused(404, "not-found", "no study here has this UID")
    study, draft, review = row
    if draft is None:
        raise Refused(404, "no-draft", "the study has no draft")
    return study, draft, review


def _told(draft: Draft, review: Review | None) -> dict[str, Any]:
    if review is None:
        nothing = {"saved_at": None, "saved_by": None, "reason": None, "until": None}
        begun = {"version": 0, "draft_revision": draft.revision, "state": ReviewState.OPEN}
        return {**begun, **nothing, "history": []}
    return {
        "version": review.version,
        "draft_revision": review.draft.revision,
        "state": review.state,
        "saved_at": review.saved_at.isoformat(),
        "saved_by": review.saved_by,
        "reason": review.reason,
        "until": review.until and review.until.isoformat(),
        "history": _history(review.steps),
    }


def _history(steps: Sequence[ReviewStep]) -> list[dict[str, str]]:
    return [{"at": one.at.isoformat(), "by": one.by, "action": one.action} for one in steps]


def _object(session: Session, study: Study) -> dict[str, str] | None:
    """Return the report object that stands, and how far it has got."""
    query = select(Final).join(Draft).where(Draft.study_id == study.id, Final.is_current)
    final = session.scalar(query)
    if final is None or final.sop_instance_uid is None:
        return None
    states = {one.state for one in final.deliveries}
    state = next((one for one in _WORST_FIRST if one in states), "kept")
    return {"sop_instance_uid": final.sop_instance_uid, "state": state}


_WORST_FIRST = (
    DeliveryState.FAILED,
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.CANCELLED,
    DeliveryState.ACCEPTED,
    DeliveryState.PROVED,
)
