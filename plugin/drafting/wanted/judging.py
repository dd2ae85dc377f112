"""The rules are asked of studies: while they arrive, and once more before they are drafted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydicom import Dataset, dcmread
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from plugin.rules.decision import Decision, Judgement
from plugin.rules.facts import Arrived, Facts
from plugin.rules.rules import Rules
from plugin.rules.urgency import Urgency, urgency_in
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.orders import order_of
from plugin.state.kinds import Kind
from plugin.state.studies import lock_study
from plugin.state.tables import Instance, Job, JobState, Level, Study
from plugin.state.timeline import add_event_once

# So many are judged before the next draft: a burst of studies delays none
_AT_ONCE = 20


@dataclass(frozen=True)
class Seen:
    """What of a study the rules are asked with.

    Parameters
    ----------
    arrived : Arrived
        What the service knows.
    series : tuple of (Dataset, int)
        Header of an image, and the number of images, of each series that a model may read.
    ordered : Urgency, optional
        What the order says that a RIS has sent.
    """

    arrived: Arrived
    series: tuple[tuple[Dataset, int], ...]
    ordered: Urgency | None = None

    @property
    def stated(self) -> tuple[Urgency, str] | None:
        """The most urgent of what others say of the study, and who says it."""
        said = [
            (one, "the images say")
            for header, _ in self.series
            if (one := urgency_in(header)) is not None
        ]
        if self.ordered is not None:
            said.append((self.ordered, "the order says"))
        return min(said, default=None, key=lambda one: one[0])

    def judge(self, rules: Rules) -> Judgement:
        """Ask the rules."""
        urgency = self.stated[0] if self.stated else None
        priority = "" if urgency is None else urgency.word
        judged = rules.judge(
            [Facts(header, images, self.arrived, priority) for header, images in self.series],
            urgency,
        )
        return replace(judged, stated=f"{self.stated[1]} {priority}") if self.stated else judged


def seen_in(session: Session, spool: Spool, job: Job) -> Seen:
    """Gather what has arrived of a job's study; a file that is gone or damaged is left out.

    Parameters
    ----------
    session : Session
        The database.
    spool : Spool
        Where the files lie.
    job : Job
        Whose study is looked at.
    """
    study = job.study
    arrived = Arrived(job.created_at.astimezone(), study.sender or "", job.forced)
    firsts = (
        select(func.min(Instance.id).label("id"), func.count().label("images"))
        .where(Instance.study_id == study.id, Instance.processed)
        .group_by(Instance.series_id)
        .subquery()
    )
    rows = select(Instance.path, firsts.c.images).join(firsts, firsts.c.id == Instance.id)
    paths = session.execute(rows.order_by(Instance.id)).all()
    headers = ((_header(spool.absolute(path)), images) for path, images in paths)
    order = order_of(session, study)
    told = None if order is None or order.urgency is None else Urgency(order.urgency)
    return Seen(arrived, tuple((one, images) for one, images in headers if one is not None), told)


def _header(path: Path) -> Dataset | None:
    try:
        return dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # noqa: BLE001  whatever lies there, the pipeline says what is wrong with it
        return None


@dataclass
class Judge:
    """Asks the rules, and writes down what they decide.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    rules : Rules
        Those of the settings; may be exchanged while the service runs.
    quiet_s : float
        How long more slices are waited for where no rule says otherwise.
    refresh : callable
        Called before every look: may exchange the rules.
    """

    sessions: SessionFactory
    spool: Spool
    rules: Rules
    quiet_s: float
    refresh: Callable[[Judge], None] = lambda _: None

    def look(self, now: datetime) -> None:
        """Judge studies that are new, so that urgent ones go first and short waits are short.

        A study that grew since is judged once more when it is complete.
        """
        self.refresh(self)
        fresh = or_(Job.judged_at.is_(None), Job.judged_at < Study.last_received_at)
        waiting = Job.state == JobState.PENDING
        with self.sessions() as session:
            due = or_(Job.judged_at.is_(None), Job.deadline <= now)
            rows = select(Job.id).join(Job.study).where(waiting, fresh, due).limit(_AT_ONCE)
            new = session.scalars(rows.order_by(Job.id)).all()
        for job_id in new:
            self.judge(job_id)

    def judge(self, job_id: int) -> Decision:
        """Ask the rules of a job's study, and keep what they decide."""
        with self.sessions() as session:
            job = session.get_one(Job, job_id)
            up_to, before = job.study.last_received_at, (job.decision, job.judged_at)
            seen = seen_in(session, self.spool, job)
        judged = seen.judge(self.rules)
        if before == (judged.decision.kept(), up_to):
            return judged.decision
        with self.sessions.begin() as session:
            study = lock_study(session, session.get_one(Job, job_id).study_id)
            job = session.get_one(Job, job_id, populate_existing=True)
            if job.state in (JobState.PENDING, JobState.RUNNING):
                self._keep(session, study, job, judged, up_to)
        return judged.decision

    def waits_until(self, job_id: int) -> datetime | None:
        """Until when more of a job's study is waited for, where a rule prolongs the wait."""
        with self.sessions() as session:
            job = session.get_one(Job, job_id)
            prolonged = job.study.quiet_s is not None and job.study.quiet_s > self.quiet_s
            return min(job.deadline, job.hard_deadline) if prolonged else None

    def _keep(
        self, session: Session, study: Study, job: Job, judged: Judgement, up_to: datetime
    ) -> None:
        decision, kept = judged.decision, judged.decision.kept()
        if kept != (job.decision or {}):
            self._tell(session, study, judged)
        job.decision, job.urgency, job.judged_at = kept, int(decision.urgency), up_to
        job.wanted_until = wanted_until(job.created_at, decision)
        if study.quiet_s != decision.quiet_s:
            quiet = timedelta(seconds=decision.quiet_s or self.quiet_s)
            # One that ended early, because the sender said how many there are, has ended
            if job.deadline > study.last_received_at:
                job.deadline = min(study.last_received_at + quiet, job.hard_deadline)
            study.quiet_s = decision.quiet_s

    def _tell(self, session: Session, study: Study, judged: Judgement) -> None:
        """Name the rule and its condition: what the headers say may be a patient's name."""
        conditions = {rule.name: rule.when for rule in self.rules.rules}
        when = conditions.get(judged.decision.rule or "")
        message = str(judged.decision) + (f"; it holds that {when}" if when else "")
        message += f"; {judged.stated}" if judged.stated else ""
        faults = [step.rule for step in judged.steps if step.fault]
        for fault in faults:
            message += f"; rule {fault} could not be decided, and does not hold"
        level, now = Level.WARNING if faults else Level.INFO, now_of(session)
        add_event_once(session, Kind.JUDGED, message, now=now, study_id=study.id, level=level)


def wanted_until(opened: datetime, decision: Decision) -> datetime | None:
    """From when on nobody wants the draft of a job that was opened then; None is never."""
    return None if decision.wanted_s is None else opened + timedelta(seconds=decision.wanted_s)


def forget_judgements(sessions: SessionFactory) -> None:
    """Have studies that wait judged by other rules than before."""
    with sessions.begin() as session:
        waiting = Job.state == JobState.PENDING
        session.execute(update(Job).where(waiting).values(judged_at=None))
