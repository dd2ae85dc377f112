"""`ctscribe rules`: why a study is treated as it is, and what other rules would have done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dicom_io.errors import PluginError
from plugin.assembly import open_sessions, open_spool
from plugin.commands.moments import moment
from plugin.console import say
from plugin.drafting.judging import Seen, seen_in
from plugin.reception.intake import is_document
from plugin.rules.decision import Decision, Judgement
from plugin.rules.facts import Arrived
from plugin.rules.rules import Rules
from plugin.settings import Settings
from plugin.state.tables import Job, Study


def print_judgement(
    settings: Settings, wanted: str, *, sender: str, at: datetime | None, as_json: bool
) -> None:
    """Print what the rules of the settings decide of a study, rule by rule.

    Parameters
    ----------
    settings : Settings
        With the rules.
    wanted : str
        A folder or file, or the accession number or Study Instance UID of a study that arrived.
    sender : str
        AE title that files are judged as if they came from.
    at : datetime, optional
        When they are judged as if they came; by default now.
    as_json : bool
        Whether one JSON object is printed in place of lines.

    Raises
    ------
    PluginError
        There is no such study, or the folder holds no image.
    """
    if Path(wanted).exists():
        when = (at or datetime.now()).astimezone()
        seen = Seen(Arrived(when, sender), tuple(_series_in(Path(wanted))))
        if not seen.series:
            raise PluginError(f"{wanted} holds no DICOM image")
    else:
        with closing(_Database(settings)) as database:
            seen = database.latest(wanted)
    judged = seen.judge(Rules(settings.rules))
    if as_json:
        click.echo(json.dumps(_as_dict(judged), indent=2))
        return
    for step in judged.steps:
        say(f"{'met    ' if step.met else 'not met'}  {step.rule}: {step.why}")
    say(str(judged.decision))


def print_replay(settings: Settings, new: Settings, since: str, *, as_json: bool) -> None:
    """Print what other rules would have decided of the studies that arrived.

    Parameters
    ----------
    settings : Settings
        Of the service: its database and spool, and the rules where a study was not judged.
    new : Settings
        With the rules to try.
    since : str
        A day (2026-11-21), or how long ago: 7d, 12h or 30m.
    as_json : bool
        Whether one JSON object is printed in place of a table.
    """
    with closing(_Database(settings)) as database:
        replay = list(database.replay(Rules(settings.rules), Rules(new.rules), moment(since)))
    told = [one for one in replay if one.after is not None]
    changed = [one for one in told if one.differs]
    gone = len(replay) - len(told)
    if as_json:
        rows = [one.as_dict() for one in changed]
        click.echo(json.dumps({"judged": len(told), "gone": gone, "changed": rows}, indent=2))
        return
    for one in changed:
        say(f"{one.opened:%Y-%m-%d %H:%M}  {one.study}  {one.sender or '-'}")
        say(f"    now: {one.before}\n    new: {one.after}")
    say(f"{len(changed)} of {len(told)} drafts would be decided otherwise")
    if gone:
        say(f"{gone} more cannot be told: their images were deleted")


@dataclass(frozen=True)
class _Replayed:
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


class _Database:
    """The studies of a service."""

    def __init__(self, settings: Settings) -> None:
        self._sessions, self._spool = open_sessions(settings), open_spool(settings)

    def close(self) -> None:
        self._sessions.kw["bind"].dispose()

    def latest(self, wanted: str) -> Seen:
        """Return what is known of the study with a number."""
        numbered = or_(Study.study_instance_uid == wanted, Study.accession_number == wanted)
        with self._sessions() as session:
            jobs = select(Job).join(Job.study).where(numbered).order_by(Job.id.desc())
            job = session.scalar(jobs.limit(1))
            if job is None:
                raise PluginError("no such file or folder, and no study has this number now")
            return seen_in(session, self._spool, job)

    def replay(self, old: Rules, new: Rules, since: datetime) -> Iterator[_Replayed]:
        """Judge every draft that was to be made since a moment, one after the other."""
        with self._sessions() as session:
            ids = session.scalars(select(Job.id).where(Job.created_at >= since)).all()
        for job_id in ids:  # a transaction each: the service works meanwhile
            with self._sessions() as session:
                yield self._judged(session, session.get_one(Job, job_id), old, new)

    def _judged(self, session: Session, job: Job, old: Rules, new: Rules) -> _Replayed:
        seen, study = seen_in(session, self._spool, job), job.study
        kept = job.decision
        before = seen.judge(old).decision if kept is None else Decision.of_kept(kept)
        return _Replayed(
            study.accession_number or study.study_instance_uid,
            study.sender,
            job.created_at.astimezone(),
            before,
            seen.judge(new).decision if seen.series else None,
        )


def _series_in(path: Path) -> Iterable[tuple[Dataset, int]]:
    """The first header of each series of images in some files, and how many it has."""
    first: dict[str, Dataset] = {}
    counts: dict[str, int] = {}
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        header = _header(file)
        if header is None or is_document(str(header.get("SOPClassUID", ""))):
            continue
        uid = str(header.get("SeriesInstanceUID", ""))
        first.setdefault(uid, header)
        counts[uid] = counts.get(uid, 0) + 1
    return [(header, counts[uid]) for uid, header in first.items()]


def _header(file: Path) -> Dataset | None:
    if not file.is_file():
        return None
    try:
        return dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, EOFError, ValueError):
        return None


def _as_dict(judged: Judgement) -> dict[str, Any]:
    steps: Sequence[dict[str, Any]] = [
        {"rule": one.rule, "met": one.met, "why": one.why} for one in judged.steps
    ]
    decision = {"draft": True, **judged.decision.kept(), "urgency": judged.decision.urgency.word}
    return {"steps": steps, "decision": decision}
