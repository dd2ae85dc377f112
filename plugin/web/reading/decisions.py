"""Accept and reject: what a radiologist decides, and what the site's rule makes of it.

The report object lies fsynced in the spool before the decision is committed, and one transaction
holds the decision, the object's row, its deliveries and their entry of the audit trail. So it is
with a rejection and its note. Whatever is killed when, there is either all of it or nothing; a file
without a row is swept away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydicom import Dataset, dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.cleaned import cleaned_lines
from dicom_io.errors import NonConformantReport
from plugin.drafting.retraction import Retraction, note_on, retract
from plugin.feedback.shadows import written_text
from plugin.rules.decision import Decision
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, accepted
from plugin.state.clock import now_by, now_of
from plugin.state.kept.reviews import ReviewState
from plugin.state.kinds import Kind
from plugin.state.tables import Delivery, DeliveryState, Draft, Final
from plugin.state.timeline import add_event
from plugin.web.dicomweb.problems import Refused
from plugin.web.reading.drafts import read_report
from plugin.web.reading.reviews import (
    Outdated,
    Reader,
    Reviews,
    Sections,
    Standing,
    found,
    note_step,
)
from reporting.objects.accepted import Acceptance, accepted_report
from reporting.patient import time_zone_of
from reporting.text.headings import Heading

MESSAGES = ("hl7", "fhir")
"""Kinds of destinations that take no DICOM object."""


@dataclass(frozen=True)
class Consequences:
    """What a site makes of decisions.

    Parameters
    ----------
    what : {"object", "messages", "copy"}
        What is accepted becomes a report object for all destinations of the draft, only an HL7
        message or a FHIR report for those that take these, or nothing that is sent.
    final : bool
        Whether it is final, and not preliminary.
    verified_for : str, optional
        The organization that radiologists verify reports for; None where they verify none here.
    language : str
        Of what radiologists write here, as RFC 5646 writes it.
    retracts : bool
        Whether a draft that is rejected is taken back from its destinations.
    rejection_notes : tuple of str
        Names of the destinations that take rejection notes.
    """

    what: str = "object"
    final: bool = False
    verified_for: str | None = None
    language: str = "en-US"
    retracts: bool = False
    rejection_notes: tuple[str, ...] = ()

    def of(self, kept: Mapping[str, Any] | None) -> Consequences:
        """Return what follows for a study, whose rule may say it otherwise.

        Parameters
        ----------
        kept : mapping or None
            The decision of the rules, as its job keeps it.
        """
        decision = Decision.of_kept(kept or {})
        status = decision.acceptance_status
        final = self.final if status is None else status == "final"
        return replace(self, what=decision.acceptance or self.what, final=final)


@dataclass(frozen=True)
class _Seen:
    """What is accepted: it must be the same when the transaction begins."""

    draft_id: int
    number: int
    report: Dataset
    edited: bool
    texts: Sequence[tuple[Heading, str]]
    before: Sequence[Dataset]
    follows: Consequences


@dataclass(frozen=True)
class Decisions:
    """Decides upon reviews.

    Parameters
    ----------
    reviews : Reviews
        Of the service.
    consequences : Consequences
        What follows.
    """

    reviews: Reviews
    consequences: Consequences

    def accept(self, uid: str, version: int, reader: Reader) -> None:
        """Accept the text as it stands.

        Parameters
        ----------
        uid : str
            StudyInstanceUID.
        version : int
            That was seen.
        reader : Reader
            Who decides.

        Raises
        ------
        Refused, Outdated
            It cannot be accepted now.
        """
        seen = self._seen(uid, version)
        made = self._made(seen, reader)
        kept = None if seen.follows.what == "copy" else made
        with self._written(kept) as path, self.reviews.changing(uid, version) as standing:
            standing.require_open()
            if standing.draft.id != seen.draft_id:
                raise Outdated
            review = self.reviews.begun(standing, reader)
            review.state, review.until, review.reason = ReviewState.ACCEPTED, None, None
            note_step(standing, review, "accepted", reader)
            self._keep(standing, seen, made, path, reader)

    def reject(self, uid: str, version: int, reason: str, reader: Reader) -> None:
        """Reject the draft.

        Parameters
        ----------
        uid : str
            StudyInstanceUID.
        version : int
            That was seen.
        reason : str
            Why, for those who look after the model; the timeline does not quote it.
        reader : Reader
            Who decides.

        Raises
        ------
        Refused, Outdated
            It cannot be rejected now.
        """
        draft_id, note = self._noted(uid)
        with self._written(note) as path, self.reviews.changing(uid, version) as standing:
            standing.require_open()
            if standing.draft.id != draft_id:
                raise Outdated
            review = self.reviews.begun(standing, reader)
            review.state, review.until, review.reason = ReviewState.REJECTED, None, reason
            note_step(standing, review, "rejected", reader)
            subject = Subject(study_instance_uid=uid)
            said = Entry(
                action=Action.CHANGED, who=reader.who, study=subject, detail=f"rejected: {reason}"
            )
            audit.record(standing.session, said, now=standing.now)
            _tell(standing, "it is rejected")
            if self.consequences.retracts:
                notes = self.consequences.rejection_notes
                taken_back = Retraction(draft_id, path, "a radiologist rejected it")
                retract(standing.session, standing.study, taken_back, notes, standing.now)

    def _noted(self, uid: str) -> tuple[int, Dataset | None]:
        """Return the key of the draft, and the note that rejects it where the site wants one."""
        with self.reviews.sessions() as session:
            _, draft, _ = found(session, uid)
        if not self.consequences.retracts or draft.retraction_path is not None:
            return draft.id, None
        return draft.id, note_on(self.reviews.spool, draft.path)

    def _seen(self, uid: str, version: int) -> _Seen:
        with self.reviews.sessions() as session:
            study, draft, review = found(session, uid)
            if version != (review.version if review else 0):
                raise Outdated
            Standing(session, study, draft, review, now_of(session)).require_open()
            if review is not None and review.draft_id != draft.id:
                what = f"draft {draft.revision} has come: look at it, and take the review up anew"
                raise Refused(409, "newer-draft", what)
            drafted = self.reviews.drafted_sections(draft)
            sections = review.sections if review else drafted
            finals = _finals(session, study.id)
            standing = [one for one in finals if one.is_current and one.path]
            before = [dcmread(self.reviews.spool.absolute(one.path)) for one in standing]
            return _Seen(
                draft.id,
                len(finals) + 1,
                read_report(self.reviews.spool, draft),
                _plain(sections) != _plain(drafted),
                [(Heading[one["heading"]], one["text"]) for one in sections],
                before,
                self.consequences.of(draft.job.decision),
            )

    def _made(self, seen: _Seen, reader: Reader) -> Dataset:
        moment = now_by(self.reviews.sessions).astimezone(time_zone_of(seen.report))
        acceptance = Acceptance(
            reader.name,
            moment,
            seen.number,
            seen.edited,
            seen.follows.final,
            seen.follows.verified_for,
            seen.follows.language,
        )
        if not any(
            text.strip() for heading, text in seen.texts if heading is not Heading.TECHNIQUE
        ):
            raise Refused(409, "empty-report", "there are no findings and no impression to accept")
        try:
            return accepted_report(seen.report, seen.texts, acceptance, seen.before)
        except NonConformantReport:
            raise Refused(409, "no-report", "the text cannot be made a report object") from None

    @contextmanager
    def _written(self, made: Dataset | None) -> Iterator[str]:
        """Write an object, if there is one; it goes again unless its row is committed."""
        if made is None:
            yield ""
            return
        spool = self.reviews.spool
        path = spool.write_draft(made)
        try:
            yield path
        except BaseException:
            spool.discard_draft(path)
            raise
        spool.recorded(path)

    def _keep(
        self, standing: Standing, seen: _Seen, made: Dataset, path: str, reader: Reader
    ) -> None:
        for earlier in _finals(standing.session, standing.study.id):
            earlier.is_current = False
        final = Final(
            draft=standing.draft,
            is_current=True,
            text=cleaned_lines(written_text(made)),
            edited=seen.edited,
            accepted_by=reader.name,
            sop_instance_uid=str(made.SOPInstanceUID) if path else None,
            path=path,
            created_at=standing.now,
        )
        standing.session.add(final)
        if path:
            to = _destinations(standing.draft, messages_only=seen.follows.what == "messages")
            final.deliveries = [_delivery(standing, one) for one in to]
        where = ", ".join(one.destination for one in final.deliveries)
        how = "after edits" if seen.edited else "as it was drafted"
        _tell(
            standing, f"it is accepted {how}" + (f"; the report goes to {where}" if where else "")
        )
        entry = Entry(action=Action.ACCEPTED, who=reader.who, study=accepted(final), detail=how)
        audit.record(standing.session, entry, now=standing.now)


def _finals(session: Session, study_id: int) -> list[Final]:
    query = select(Final).join(Draft).where(Draft.study_id == study_id).order_by(Final.id)
    return list(session.scalars(query))


def _plain(sections: Sections) -> list[tuple[str, list[str]]]:
    lines = ((one["heading"], one["text"].splitlines()) for one in sections)
    return sorted(
        (heading, [line.strip() for line in text if line.strip()]) for heading, text in lines
    )


def _destinations(draft: Draft, *, messages_only: bool) -> list[Delivery]:
    own = (one for one in draft.deliveries if not one.retracts)
    wanted = (one for one in own if one.kind in MESSAGES or not messages_only)
    return sorted(wanted, key=lambda one: one.destination)


def _delivery(standing: Standing, like: Delivery) -> Delivery:
    return Delivery(
        draft_id=standing.draft.id,
        destination=like.destination,
        kind=like.kind,
        forms=like.forms,
        retracts=False,
        state=DeliveryState.PENDING,
        attempts=0,
        not_before=standing.now,
    )


def _tell(standing: Standing, what: str) -> None:
    message = f"draft {standing.draft.revision}: {what}"
    add_event(standing.session, Kind.DECIDED, message, now=standing.now, study_id=standing.study.id)
