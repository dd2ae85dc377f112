"""Deleting, whatever is killed when: rows first, with a note of their files, then the files.

A file whose row is gone is still named by a row of `removals`, so none is forgotten; and no row
ever names a file that is gone. The same bytes may arrive again at any moment, and get the same
name. So a file is moved aside while its study is locked: a receiver that is just bringing it has
announced it before, and cannot record it meanwhile. Then it is moved back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, this_process
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.beside import paths_beside
from plugin.state.kept.listings import forget_listing
from plugin.state.kept.pruned import tell_pruned
from plugin.state.kinds import Kind
from plugin.state.studies import lock_study
from plugin.state.tables import Draft, Instance, Quarantine, Removal, Study
from plugin.state.timeline import add_event
from plugin.upkeep.keeping.candidates import Choose, copies, drafts, images, rows, undrafted
from plugin.upkeep.keeping.study_rows import delete_study

Forget = Callable[[Session, Study, Any, str, datetime], None]


@dataclass(frozen=True)
class Rule:
    """What is deleted together.

    Parameters
    ----------
    choose : callable
        Which rows may go.
    table : mapped class
        Theirs.
    forget : callable
        Takes the session, the locked study, the row, the setting that says so, and the moment.
    """

    choose: Choose
    table: Any
    forget: Forget


def forget_images(session: Session, study: Study, _: Study, rule: str, now: datetime) -> None:
    """Delete the rows of all that came of a study, and of what was set aside; see `Rule.forget`."""
    tell_pruned(session, study.id, rule, now)
    _audit(session, study, f"images, by the rule {rule}", now)
    session.execute(delete(Quarantine).where(Quarantine.study_id == study.id))
    session.execute(delete(Instance).where(Instance.study_id == study.id))
    forget_listing(session, study.id)
    study.image_bytes = 0
    session.add(Removal(study_id=study.id, path=f"instances/{study.study_instance_uid}"))


def forget_draft(session: Session, study: Study, draft: Draft, rule: str, now: datetime) -> None:
    """Forget where a draft lies, its note, and what was accepted of it; see `Rule.forget`."""
    accepted = [final.path for final in draft.finals]
    beside = paths_beside(draft.sop_instance_uid)
    for path in filter(None, (draft.path, draft.retraction_path, *accepted, *beside)):
        session.add(Removal(study_id=study.id, path=path))
    draft.path = ""
    draft.withheld = None
    for final in draft.finals:
        final.path = ""
    forget_listing(session, study.id)
    message = f"draft {draft.revision} was deleted from the spool by the rule {rule}"
    add_event(session, Kind.DRAFT_PRUNED, message, now=now, study_id=study.id)


def forget_copy(session: Session, study: Study, copy: Quarantine, _: str, __: datetime) -> None:
    """Forget where bytes lie that came again, not that they came; see `Rule.forget`."""
    session.add(Removal(study_id=study.id, path=copy.path))
    copy.path = ""


def forget_study(session: Session, study: Study, _: Study, rule: str, now: datetime) -> None:
    """Delete all rows of a study; see `Rule.forget`."""
    _audit(session, study, f"its timeline, by the rule {rule}", now)
    delete_study(session, study)


def _audit(session: Session, study: Study, what: str, now: datetime) -> None:
    subject = Subject(study_instance_uid=study.study_instance_uid)
    entry = Entry(action=Action.DELETED, who=this_process(), study=subject, detail=what)
    audit.record(session, entry, now=now)


RULES = {
    "images": Rule(images, Study, forget_images),
    "undrafted": Rule(undrafted, Study, forget_images),
    "drafts": Rule(drafts, Draft, forget_draft),
    "quarantine": Rule(copies, Quarantine, forget_copy),
    "rows": Rule(rows, Study, forget_study),
}


def remove(sessions: SessionFactory, rule: Rule, row_id: int, why: str, now: datetime) -> bool:
    """Forget something and note its files; returns whether that was still allowed.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    rule : Rule
        Of `RULES`.
    row_id : int
        What `rule.choose` chose, which may have changed since.
    why : str
        The setting that says so, for the timeline.
    now : datetime
        The moment, in UTC.
    """
    with sessions.begin() as session:
        same = rule.table.id == row_id
        study_id = rule.table.id if rule.table is Study else rule.table.study_id
        try:
            study = lock_study(session, session.scalars(select(study_id).where(same)).one())
        except NoResultFound:  # another process was quicker
            return False
        if session.execute(rule.choose(now, now).where(same)).first() is None:
            return False
        rule.forget(session, study, session.get_one(rule.table, row_id), why, now)
        return True


def count_images(sessions: SessionFactory, study_id: int) -> None:
    """Write down what the images of a study take on the disk."""
    with sessions.begin() as session:
        study = lock_study(session, study_id)
        size = select(func.coalesce(func.sum(Instance.size), 0))
        study.image_bytes = session.scalar(size.where(Instance.study_id == study_id)) or 0


def finish_removals(sessions: SessionFactory, spool: Spool) -> None:
    """Delete the files that were noted, and what a killed process had moved aside.

    Raises
    ------
    OSError
        Some files cannot be deleted; all others are.
    """
    problem: OSError | None = None
    _settle_moved(sessions, spool)
    with sessions() as session:
        studies = session.scalars(select(Removal.study_id).distinct()).all()
    for study_id in studies:
        try:
            _finish_study(sessions, spool, study_id)
        except OSError as error:
            problem = error
    if problem is not None:
        raise problem


def _finish_study(sessions: SessionFactory, spool: Spool, study_id: int) -> None:
    moved: list[str] = []
    with sessions.begin() as session:
        lock_study(session, study_id)
        named = _named_by_rows(session, study_id)
        of_study = select(Removal).where(Removal.study_id == study_id)
        for removal in session.scalars(of_study).all():
            paths = [path for path in spool.files_of(removal.path) if path not in named]
            moved += [path for path in paths if _moved(spool, path)]
            spool.remove_folder(removal.path)
            session.delete(removal)
    for path in moved:
        spool.delete_taken_out(path)


def _moved(spool: Spool, path: str) -> bool:
    """Move a file aside, unless it is arriving at this moment; the study is locked."""
    with suppress(FileNotFoundError):
        spool.take_out(path)
        if not spool.is_announced(path):
            return True
        spool.put_back(path)
    return False


def _settle_moved(sessions: SessionFactory, spool: Spool) -> None:
    """Delete or move back what a killed process had moved aside."""
    for path in spool.taken_out():
        study = path.split("/")[1]
        with sessions.begin() as session, suppress(FileNotFoundError):
            by_uid = select(Study.id).where(Study.study_instance_uid == study)
            study_id = session.scalar(by_uid.with_for_update())
            if path in _named_by_rows(session, study_id) or spool.is_announced(path):
                spool.put_back(path)
            else:
                spool.delete_taken_out(path)


def _named_by_rows(session: Session, study_id: int | None) -> set[str]:
    """Return the files that rows of a study name, and rows that know no study."""
    of_study = Quarantine.study_id.is_(None) | (Quarantine.study_id == study_id)
    return {
        *session.scalars(select(Instance.path).where(Instance.study_id == study_id)),
        *session.scalars(select(Quarantine.path).where(of_study)),
    }
