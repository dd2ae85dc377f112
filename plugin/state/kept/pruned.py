"""What a study's images were before they were deleted: told by its timeline, which stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from plugin.state.kinds import Kind
from plugin.state.tables import Event, Instance
from plugin.state.timeline import add_event


@dataclass(frozen=True)
class Pruned:
    """The latest deletion of a study's images.

    Parameters
    ----------
    when : datetime
        In UTC.
    images : int
        How many images there were that a model could read.
    rule : str
        The setting that says so.
    """

    when: datetime
    images: int
    rule: str


def tell_pruned(session: Session, study_id: int, rule: str, now: datetime) -> None:
    """Write into the timeline what is deleted with this transaction; its rows are still there.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study_id : int
        Locked.
    rule : str
        The setting that says so.
    now : datetime
        The moment, in UTC.
    """
    of_study = Instance.study_id == study_id
    count = session.scalar(select(func.count()).where(of_study)) or 0
    images = session.scalar(select(func.count()).where(of_study, Instance.processed)) or 0
    message = (
        f"{counted(count, 'object was', 'objects were')} deleted from the spool by the rule {rule}"
    )
    detail = {"images": images, "rule": rule}
    add_event(session, Kind.PRUNED, message, now=now, study_id=study_id, detail=detail)


def latest_pruning(session: Session, study_id: int) -> Pruned | None:
    """Return when a study's images were last deleted; None if they never were."""
    of_study = select(Event).where(Event.study_id == study_id, Event.kind == Kind.PRUNED)
    event = session.scalar(of_study.order_by(Event.id.desc()).limit(1))
    if event is None or event.detail is None:
        return None
    return Pruned(event.time, int(event.detail["images"]), str(event.detail["rule"]))


def not_come_again(session: Session, study_id: int) -> str | None:
    """Say that fewer images came after a deletion than before; None where all did.

    A draft of the few would take the place of one of all.
    """
    pruned = latest_pruning(session, study_id)
    if pruned is None:
        return None
    number = select(func.count()).where(Instance.study_id == study_id, Instance.processed)
    here = session.scalar(number) or 0
    if here >= pruned.images:
        return None
    gone = counted(pruned.images, "image was", "images were")
    return (
        f"{gone} deleted on {pruned.when:%Y-%m-%d} by the rule {pruned.rule}, and {here} came since"
    )
