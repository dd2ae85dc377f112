"""How a job ends: with a draft, without one, for good, or for now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from plugin.drafting.due import LONGEST_PAUSE_S
from plugin.drafting.jobs import Claim, set_own
from plugin.drafting.writing.confidence import Confidence
from plugin.drafting.writing.heat import Heat
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, this_process
from plugin.state.clock import doubled
from plugin.state.database import SessionFactory
from plugin.state.kept.embeddings import ImageEmbedding
from plugin.state.kept.heat_maps import HeatMap
from plugin.state.kept.trials import Shadow
from plugin.state.kinds import Kind
from plugin.state.running.bell import ring
from plugin.state.studies import job_waits, lock_study, settle, settle_failed
from plugin.state.tables import (
    Delivery,
    DeliveryState,
    Draft,
    DraftState,
    Event,
    Job,
    JobState,
    Level,
    StudyState,
)
from plugin.state.tally import TALLY, Counted
from plugin.state.timeline import add_event, add_event_once

# Five attempts stretch over four minutes: time for a network or a GPU to come back
FIRST_PAUSE_S = 15.0
# Somebody must free space first
SPACE_PAUSE_S = 60.0
# An engine that is restarted is back within seconds
FIRST_ENGINE_PAUSE_S = 2.0


@dataclass(frozen=True)
class NewDraft:
    """A report whose SR lies fsynced in the spool."""

    sop_instance_uid: str
    series_instance_uid: str
    selected_digest: str
    state: DraftState
    path: str
    selection: tuple[str, ...] = ()
    """Which series was read and why each other one was not, a line each."""
    lacks: tuple[str, ...] = ()
    """What the draft or its input lacks, a sentence each."""
    incomplete: str | None = None
    """What the input lacks, as far as anybody knew before it was read."""
    model: tuple[str, str] | None = None
    """Name and digest of the model that wrote it."""
    forms: tuple[str, ...] | None = None
    """The forms in which archives get it, in place of their own."""
    shadows: tuple[str, ...] = ()
    """Names of the models on trial, which draft the same study."""
    subject: Subject | None = None
    """Whose it is, for the audit trail."""
    embedding: bytes = b""
    """What the model saw, see `plugin.state.kept.embeddings`; empty where it saw nothing."""
    heat: tuple[Heat, ...] = ()
    """Where its sentences come from."""
    confidence: Confidence = field(default_factory=Confidence)
    """How sure the model was of them."""


def finish_with_draft(
    sessions: SessionFactory,
    claim: Claim,
    draft: NewDraft,
    *,
    destinations: Mapping[str, str],
    now: datetime,
) -> None:
    """End the job with a draft, its predecessor no longer current, its deliveries due.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    claim : Claim
        The job, as it was claimed.
    draft : NewDraft
        The draft and its file.
    now : datetime
        Moment of the end.
    destinations : mapping of str to str
        Name and kind of every destination.

    Raises
    ------
    LeaseLost
        Another worker has the job; the draft is discarded.
    """
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        set_own(
            session,
            claim,
            state=JobState.DONE,
            finished_at=now,
            error=None,
            incomplete=draft.incomplete,
        )
        current = session.scalar(select(Draft).where(Draft.study_id == study.id, Draft.is_current))
        if current is not None:
            current.is_current = False
            session.flush()
        row = Draft(
            study_id=study.id,
            job_id=claim.job_id,
            predecessor_id=None if current is None else current.id,
            revision=claim.revision,
            state=draft.state,
            is_current=True,
            sop_instance_uid=draft.sop_instance_uid,
            series_instance_uid=draft.series_instance_uid,
            path=draft.path,
            selected_digest=draft.selected_digest,
            model_name=draft.model and draft.model[0],
            model_digest=draft.model and draft.model[1],
            calibrated_on=draft.confidence.calibrated_on,
            drift=draft.confidence.drift,
            withheld=[list(one) for one in draft.confidence.withheld],
            created_at=now,
        )
        row.deliveries = [
            Delivery(
                destination=name,
                kind=kind,
                forms=draft.forms and list(draft.forms),
                state=DeliveryState.PENDING,
                attempts=0,
                not_before=now,
            )
            for name, kind in destinations.items()
        ]
        session.add(row)
        session.add_all(
            Shadow(draft=row, model_name=name, not_before=now, created_at=now)
            for name in draft.shadows
        )
        if draft.model and draft.embedding:
            seen = ImageEmbedding(draft=row, model_digest=draft.model[1], vector=draft.embedding)
            session.add(seen)
        session.add_all(
            HeatMap(draft=row, sentence=one.sentence, grid=one.grid, values=one.values)
            for one in draft.heat
        )
        ring(session)
        settle(session, study, StudyState.DRAFTED)
        TALLY.count(Counted.DRAFTS, state=str(draft.state))
        for line in draft.selection:
            add_event(session, Kind.SELECTED, line, now=now, study_id=study.id)
        lacks = f": {' '.join(draft.lacks)}" if draft.lacks else ""
        add_event(
            session,
            Kind.DRAFTED,
            f"draft {claim.revision} written: {draft.state}{lacks}",
            now=now,
            study_id=study.id,
            detail={"sop_instance_uid": draft.sop_instance_uid},
        )
        if draft.subject is not None:
            made = Entry(action=Action.DRAFTED, who=this_process(), study=draft.subject)
            audit.record(session, made, now=now)


def finish_unchanged(sessions: SessionFactory, claim: Claim, *, now: datetime) -> None:
    """End the job without a draft: what arrived does not change the series that was read.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    claim : Claim
        The job, as it was claimed.
    now : datetime
        Moment of the end.
    """
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        set_own(session, claim, state=JobState.DONE, finished_at=now, error=None)
        settle(session, study, StudyState.DRAFTED)
        add_event(
            session,
            Kind.UNCHANGED,
            "selection unchanged: the current draft stands",
            now=now,
            study_id=study.id,
        )


def fail_job(
    sessions: SessionFactory,
    claim: Claim,
    reason: str,
    *,
    now: datetime,
    level: Level = Level.ALERT,
) -> None:
    """End the job for good.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    claim : Claim
        The job.
    reason : str
        What failed, for a person.
    now : datetime
        The moment, in UTC.
    level : Level
        How loud it is.
    """
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        set_own(session, claim, state=JobState.FAILED, finished_at=now, error=reason)
        settle_failed(session, study, reason, now, level)


def retry_job(
    sessions: SessionFactory, claim: Claim, reason: str, *, attempts: int, now: datetime
) -> None:
    """Give the job back for a later attempt; the pause grows, and survives restarts.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    claim : Claim
        The job.
    reason : str
        What failed, for a person.
    attempts : int
        The job fails for good after so many.
    now : datetime
        The moment, in UTC.
    """
    if claim.attempt >= attempts:
        fail_job(
            sessions,
            claim,
            f"given up after {counted(claim.attempt, 'attempt')}: {reason}",
            now=now,
        )
        return
    pause_s = doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, claim.attempt - 1)
    _give_back(sessions, claim, reason, pause_s=pause_s, attempts=claim.attempt, now=now)


def wait_for_instances(
    sessions: SessionFactory, claim: Claim, missing: str, *, quiet: timedelta, now: datetime
) -> None:
    """Give the job back as if it had not been begun: more is to come.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    claim : Claim
        The job, as it was claimed.
    now : datetime
        Moment from which it waits.
    missing : str
        What has not arrived, for the timeline.
    quiet : timedelta
        Look again after so long, or at the hard deadline.
    """
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        deadline = min(now + quiet, claim.hard_deadline)
        _release(session, claim, attempts=claim.attempt - 1, deadline=deadline)
        add_event_once(
            session, Kind.MISSING, missing, now=now, study_id=study.id, level=Level.WARNING
        )


def wait_longer(sessions: SessionFactory, claim: Claim) -> None:
    """Give the job back as if it had not been begun: a rule waits longer for more slices."""
    with sessions.begin() as session:
        lock_study(session, claim.study_id)
        _release(session, claim, attempts=claim.attempt - 1)


def wait_for_space(sessions: SessionFactory, claim: Claim, reason: str, *, now: datetime) -> None:
    """Give the job back for want of disk space: no attempt of the study's, however often.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    claim : Claim
        The job, as it was claimed.
    reason : str
        For the timeline.
    now : datetime
        Moment from which it waits.
    """
    _give_back(sessions, claim, reason, pause_s=SPACE_PAUSE_S, attempts=claim.attempt - 1, now=now)


def wait_for_engine(sessions: SessionFactory, claim: Claim, reason: str, *, now: datetime) -> None:
    """Give the job back while the engine is down: no attempt of the study's, however often.

    The pause grows all the same: should this study be what brings the engine down, others are
    drafted between its attempts.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    claim : Claim
        The job, as it was claimed.
    reason : str
        For the timeline.
    now : datetime
        Moment from which it waits.
    """
    with sessions() as session:
        pause_s = doubled(FIRST_ENGINE_PAUSE_S, LONGEST_PAUSE_S, _waits(session, claim))
    attempts = claim.attempt - 1
    _give_back(sessions, claim, reason, Kind.WAITING, pause_s=pause_s, attempts=attempts, now=now)


def _waits(session: Session, claim: Claim) -> int:
    """Return how often this job has waited for the engine."""
    began = select(Job.created_at).where(Job.id == claim.job_id).scalar_subquery()
    waits = select(func.count()).where(
        Event.study_id == claim.study_id, Event.kind == Kind.WAITING, Event.time >= began
    )
    return session.scalar(waits) or 0


def _give_back(
    sessions: SessionFactory,
    claim: Claim,
    reason: str,
    kind: Kind = Kind.POSTPONED,
    *,
    pause_s: float,
    attempts: int,
    now: datetime,
) -> None:
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        not_before = now + timedelta(seconds=pause_s)
        _release(session, claim, attempts=attempts, error=reason, not_before=not_before)
        add_event(
            session,
            kind,
            f"tried again in {pause_s:.0f} s: {reason}",
            now=now,
            study_id=study.id,
            level=Level.WARNING,
        )


def _release(session: Session, claim: Claim, **values: Any) -> None:
    """Let another worker begin the job, unless a newer one waits: that one reads everything."""
    state = JobState.CANCELLED if job_waits(session, claim.study_id) else JobState.PENDING
    set_own(session, claim, state=state, lease_owner=None, lease_until=None, **values)
