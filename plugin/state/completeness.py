"""Is the study complete? All that is known about it, and the judgement.

A study is complete when no slice came for a quiet period and no open association holds it, or
when its cap is over. A sender may say how many slices there are: once they are here, nothing is
waited for but the end of its association. Reception moves the deadline and makes the holds; a
worker asks. If the settings name an archive, its own number of slices is waited for, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from dicom_io.archives.proving.inventory import missing_from
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.state import audit
from plugin.state.audit import Action, Entry, Objects, Outcome, Subject, Who
from plugin.state.clock import CLOCK_SLACK, now_of, too_far
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.prepared import Prepared
from plugin.state.running.bell import ring
from plugin.state.tables import Hold, Instance, Job, JobState, Level, Series, Study, StudyState
from plugin.state.timeline import add_event, add_event_once

if TYPE_CHECKING:
    from dicom_io.archives.archive import Target

_JOBS = Job.metadata.tables["jobs"]
_UNTIL = bindparam("until", type_=_JOBS.c.deadline.type)
_FAR = bindparam("far", type_=_JOBS.c.deadline.type)
_CAP = bindparam("cap", type_=_JOBS.c.deadline.type)
_FAR_CAP = bindparam("far_cap", type_=_JOBS.c.deadline.type)
_LATER = (
    update(_JOBS)
    .where(_JOBS.c.study_id == bindparam("study"), _JOBS.c.state == JobState.PENDING)
    .values(
        # Farther ahead than any is written: from before the clock was set back
        deadline=case(
            (_JOBS.c.deadline.between(_UNTIL, _FAR), _JOBS.c.deadline),
            else_=_UNTIL,
        ),
        hard_deadline=case((_JOBS.c.hard_deadline > _FAR_CAP, _CAP), else_=_JOBS.c.hard_deadline),
    )
)
MOVE_JOB, _FORCE = Prepared(_LATER), Prepared(_LATER.values(forced=True))
"""Move the deadline of a study's pending job; takes what `deadlines` returns."""

NOW = bindparam("now", type_=_JOBS.c.deadline.type)
# Parameters, and not values: a condition is made once, which takes longer than to run it
_HELD = exists().where(
    Hold.study_id == Job.study_id,
    Hold.association.not_in(bindparam("dead", expanding=True)),
)
IS_QUIET = and_(
    or_(Job.deadline <= NOW, too_far(Job.deadline, "far_deadline")),
    ~_HELD,
)
"""Nothing more of the study of a `Job` is coming; takes what `moments` returns."""
IS_COMPLETE = or_(Job.hard_deadline <= NOW, IS_QUIET)
"""The study of a `Job` counts as complete; takes the same."""


@dataclass(frozen=True)
class Patience:
    """How long more slices of a study are waited for.

    Parameters
    ----------
    quiet : timedelta
        After the latest slice.
    cap : timedelta
        After the first one, whatever comes.
    longest : timedelta, optional
        The longest quiet period of a rule.
    """

    quiet: timedelta
    cap: timedelta
    longest: timedelta | None = None

    @property
    def longest_quiet(self) -> timedelta:
        """How far ahead deadlines are written."""
        return max(self.quiet, self.longest or self.quiet)

    def after(self, quiet_s: float | None) -> Patience:
        """Return the same with another quiet period; None is none."""
        return self if quiet_s is None else replace(self, quiet=timedelta(seconds=quiet_s))

    @classmethod
    def of_seconds(cls, quiet_s: float, cap_s: float) -> Patience:
        return cls(timedelta(seconds=quiet_s), timedelta(seconds=cap_s))


def deadlines(study_id: int, patience: Patience, now: datetime) -> dict[str, Any]:
    """Return the values of `MOVE_JOB` for a study of which something came now.

    Parameters
    ----------
    study_id : int
        Key of the study.
    patience : Patience
        How long to wait.
    now : datetime
        The moment that counts as now.
    """
    until, cap = now + patience.quiet, now + patience.cap
    far, far_cap = until + CLOCK_SLACK, cap + CLOCK_SLACK
    return {"study": study_id, "until": until, "far": far, "cap": cap, "far_cap": far_cap}


def open_or_move_job(
    session: Session, study_id: int, *, patience: Patience, now: datetime, forced: bool = False
) -> None:
    """Move the deadline of the study's pending job, or open one; the study must be locked.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study_id : int
        The study that something new arrived of.
    patience : Patience
        How long more is waited for.
    now : datetime
        The moment, in UTC.
    forced : bool
        Whether a draft is asked for even if the same series would be read again.
    """
    move, values = _FORCE if forced else MOVE_JOB, deadlines(study_id, patience, now)
    if move.execute(session.connection(), values).rowcount:
        return
    until, cap = values["until"], values["cap"]
    last = session.scalar(select(func.max(Job.revision)).where(Job.study_id == study_id)) or 0
    job = Job(
        study_id=study_id,
        revision=last + 1,
        state=JobState.PENDING,
        forced=forced,
        deadline=until,
        hard_deadline=cap,
        not_before=now,
        attempts=0,
        created_at=now,
    )
    session.add(job)
    ring(session)
    session.execute(update(Study).where(Study.id == study_id).values(state=StudyState.RECEIVING))
    if job.revision > 1:
        why = "a new draft was asked for" if forced else "instances arrived after the last job"
        message = f"{why}: revision {job.revision}"
        add_event(session, Kind.REOPENED, message, now=now, study_id=study_id)


def end_wait(session: Session, study_id: int, announced: int, now: datetime) -> None:
    """End the quiet period of a study if all its CT instances are here, as the sender counts them.

    Parameters
    ----------
    session : Session
        The caller's transaction; the study must be locked.
    study_id : int
        The study.
    announced : int
        How many there are at the sender.
    now : datetime
        The moment, in UTC.
    """
    of_ct = Series.study_id == study_id, Series.modality == "CT"
    held = select(func.count()).select_from(Instance).join(Instance.series).where(*of_ct)
    if (session.scalar(held) or 0) >= announced:
        waiting = Job.study_id == study_id, Job.state == JobState.PENDING
        session.execute(update(Job).where(*waiting).values(deadline=now))
        ring(session)


def hold_study(
    session: Session, study_id: int, association: str, now: datetime, sender: Who | None = None
) -> None:
    """Let an association that contributed to a study hold it, for as long as it is open.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study_id : int
        The study.
    association : str
        Its name, unique among all that ever were.
    now : datetime
        The moment, in UTC: the first heartbeat.
    sender : Who, optional
        Who opened it.
    """
    hold = Hold(association=association, study_id=study_id, heartbeat=now)
    if sender is not None:
        hold.ae_title, hold.address, hold.since = sender.name[:16], sender.address[:64], now
    session.add(hold)


def beat(session: Session, associations: Iterable[str], now: datetime) -> None:
    """Say that associations are still open.

    Parameters
    ----------
    session : Session
        The database.
    associations : iterable of str
        Their names.
    now : datetime
        The moment that counts as now.
    """
    still_open = Hold.association.in_(list(associations))
    session.execute(update(Hold).where(still_open).values(heartbeat=now))


def release(
    session: Session, associations: Iterable[str], outcome: Outcome = Outcome.SUCCESS
) -> None:
    """Let go of the studies that ended associations held: what they sent has been received.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    associations : iterable of str
        Their names.
    outcome : Outcome
        Whether they ended in order, for the audit trail.
    """
    ring(session)
    ended = Hold.association.in_(list(associations))
    for hold in session.scalars(delete(Hold).where(ended).returning(Hold)).all():
        if hold.since is not None:
            entry = _received(session, hold, hold.since, outcome)
            audit.record(session, entry, now=now_of(session))


def _received(session: Session, hold: Hold, since: datetime, outcome: Outcome) -> Entry:
    """Tell what arrived of a study while an association was open."""
    arrived = Instance.study_id == hold.study_id, Instance.received_at >= since
    of_class = Instance.sop_class_uid
    counted = select(of_class, func.count()).where(*arrived).group_by(of_class).order_by(of_class)
    rows = session.execute(counted)
    study = session.get_one(Study, hold.study_id)
    return Entry(
        action=Action.RECEIVED,
        who=Who(kind="node", name=hold.ae_title or "", address=hold.address or ""),
        study=Subject(
            study_instance_uid=study.study_instance_uid,
            objects=tuple(Objects(sop_class_uid=uid, number=count) for uid, count in rows),
        ),
        outcome=outcome,
    )


def moments(now: datetime, patience: Patience, dead: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values of `IS_QUIET` and `IS_COMPLETE`.

    Parameters
    ----------
    now : datetime
        The moment, in UTC.
    patience : Patience
        How long more slices are waited for.
    dead : sequence of str
        Associations that hold nothing, because their receivers have died.
    """
    far = now + patience.longest_quiet + CLOCK_SLACK
    return {"now": now, "far_deadline": far, "dead": list(dead)}


def why_incomplete(hard_deadline: datetime, created_at: datetime, quiet: bool) -> str | None:
    """Say so if only the cap made the study of a job due; None where it is quiet.

    Parameters
    ----------
    hard_deadline, created_at : datetime
        Of the job.
    quiet : bool
        Whether nothing more is coming.
    """
    if quiet:
        return None
    waited = hard_deadline - created_at
    return f"instances were still arriving after {waited.total_seconds():.0f} s"


def nothing_known(study_id: int, study_instance_uid: str) -> None:
    """Stand in where no archive is asked."""


@dataclass(frozen=True)
class ArchiveCount:
    """Compares what arrived with what an archive holds.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    name : str
        What messages call the archive.
    archive : Target
        Is asked for all CT series of the study, those included that are not sent here.
    """

    sessions: SessionFactory
    name: str
    archive: Target

    def missing(self, study_id: int, study_instance_uid: str) -> str | None:
        """Say which instances have not arrived; None where all have, or nobody can tell.

        An archive that does not answer delays no draft: the quiet period has decided already.
        """
        try:
            inventory = self.archive.count(study_instance_uid)
        except (PeerUnreachable, AssociationRejected) as error:
            self._tell(study_id, f"the slices could not be counted at {self.name}: {error}")
            return None
        missing = missing_from(self._received(study_id), inventory)
        if not missing:
            return None
        total = sum(inventory.values())
        return f"{missing} of {total} CT instances at {self.name} have not arrived"

    def _received(self, study_id: int) -> dict[str, int]:
        rows = (
            select(Series.series_instance_uid, func.count())
            .join(Instance, Instance.series_id == Series.id)
            .where(Instance.study_id == study_id)
            .group_by(Series.series_instance_uid)
        )
        with self.sessions() as session:
            return {row[0]: row[1] for row in session.execute(rows)}

    def _tell(self, study_id: int, message: str) -> None:
        level = Level.WARNING
        with self.sessions.begin() as session:
            now = now_of(session)
            add_event_once(
                session, Kind.NOT_COUNTED, message, now=now, study_id=study_id, level=level
            )
