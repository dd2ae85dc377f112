"""What other rules would have decided of the studies that arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dicom_io.errors import NotKnown
from plugin.drafting.wanted.judging import Seen, seen_in
from plugin.rules.decision import Decision
from plugin.rules.rules import Rules
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Job, Study


@dataclass(frozen=True)
class Replayed:
    """A draft that was to be made, as two sets of rules decide of it."""

    study: str
    sender: str | None
    opened: datetime
    before: Decision
    after: Decision | None
    """None where no image is left to judge by."""

    @property
    def differs(self) -> bool:
        """Whether something is done otherwise, by whichever rule."""
        assert self.after is not None
        return self.before.words() != self.after.words()

    def as_dict(self) -> dict[str, Any]:
        assert self.after is not None
        return {
            "study": self.study,
            "sender": self.sender,
            "time": self.opened.isoformat(),
            "now": str(self.before),
            "new": str(self.after),
        }


@dataclass(frozen=True)
class Replay:
    """The sum of a replay.

    Parameters
    ----------
    judged, gone : int
        Drafts that both sets of rules judge, and those whose images were deleted.
    changed : list of Replayed
        The judged ones that would be treated otherwise.
    """

    judged: int
    gone: int
    changed: list[Replayed]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rows = [one.as_dict() for one in self.changed]
        return {"judged": self.judged, "gone": self.gone, "changed": rows}


def latest_seen(sessions: SessionFactory, spool: Spool, wanted: str) -> Seen:
    """Return what is known of the study with an accession number or Study Instance UID.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    wanted : str
        The number or UID.

    Raises
    ------
    NotKnown
        There is none.
    """
    numbered = or_(Study.study_instance_uid == wanted, Study.accession_number == wanted)
    with sessions() as session:
        jobs = select(Job).join(Job.study).where(numbered).order_by(Job.id.desc())
        job = session.scalar(jobs.limit(1))
        if job is None:
            raise NotKnown("no such file or folder, and no study has this number now")
        return seen_in(session, spool, job)


def replay(
    sessions: SessionFactory, spool: Spool, rules: tuple[Rules, Rules], since: datetime
) -> Replay:
    """Judge every draft that was to be made since a moment, and sum up what differs.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    rules : (Rules, Rules)
        The service's own, where a study was not judged, and those to try.
    since : datetime
        The moment.
    """
    found = list(_replayed(sessions, spool, rules, since))
    told = [one for one in found if one.after is not None]
    return Replay(len(told), len(found) - len(told), [one for one in told if one.differs])


def _replayed(
    sessions: SessionFactory, spool: Spool, rules: tuple[Rules, Rules], since: datetime
) -> Iterator[Replayed]:
    with sessions() as session:
        ids = session.scalars(select(Job.id).where(Job.created_at >= since)).all()
    for job_id in ids:  # a transaction each: the service works meanwhile
        with sessions() as session:
            job = session.get(Job, job_id)
            if job is not None:  # forgotten meanwhile
                yield _judged(session, spool, job, *rules)


def _judged(session: Session, spool: Spool, job: Job, old: Rules, new: Rules) -> Replayed:
    seen, study, kept = seen_in(session, spool, job), job.study, job.decision
    before = seen.judge(old).decision if kept is None else Decision.of_kept(kept)
    return Replayed(
        study.accession_number or study.study_instance_uid,
        study.sender,
        job.created_at.astimezone(),
        before,
        seen.judge(new).decision if seen.series else None,
    )
