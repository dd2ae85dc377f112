"""Days later: the signed report of each drafted study is fetched and compared with the draft."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from dicom_io.archives.archive import Archive
from dicom_io.errors import NotRetrieved, UnusableData
from plugin.feedback.agreement import Mention, Month, agreement
from plugin.feedback.shadows import written_text
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.signed import SignedText
from plugin.state.tables import Draft, DraftState, Final
from reporting.text.confidence import unmarked

FILES = "files"
"""The source of reports that come from a table or messages."""
READING_ROOM = "reading room"
"""The source of reports that were accepted there."""

Read = Callable[[str], Iterable[Mention]]


@dataclass(frozen=True)
class Drafted:
    """A draft whose signed report is not known yet.

    Parameters
    ----------
    draft_id : int
    study_instance_uid, accession_number, patient_id : str
        As its report object says; nothing of them may be shown.
    text : str
        Findings and impression of the draft.
    """

    draft_id: int
    study_instance_uid: str
    accession_number: str
    patient_id: str
    text: str


Find = Callable[[Drafted], str]
"""Returns the signed text; raises `UnusableData` where there is none yet."""


def waiting(
    sessions: SessionFactory, spool: Spool, since: datetime | None, until: datetime
) -> Iterator[Drafted]:
    """Yield the current drafts of a time without a signed report, oldest first.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    since, until : datetime
        When they were drafted; without the first from the beginning.
    """
    known = select(SignedText.draft_id)
    wanted: list[ColumnElement[bool]] = [
        Draft.is_current.is_(True),
        Draft.state != DraftState.ABSTAINED,
        Draft.retraction_path.is_(None),
        Draft.path != "",
        Draft.created_at < until,
        Draft.id.not_in(known),
    ]
    if since is not None:
        wanted.append(Draft.created_at >= since)
    with sessions() as session:
        rows = session.execute(select(Draft.id, Draft.path).where(*wanted).order_by(Draft.id))
        found = [(draft_id, spool.absolute(path)) for draft_id, path in rows]
    for draft_id, path in found:
        if path.is_file():  # deleted meanwhile otherwise
            report = dcmread(path)
            yield Drafted(
                draft_id,
                str(report.StudyInstanceUID),
                str(report.get("AccessionNumber") or ""),
                str(report.get("PatientID") or ""),
                unmarked(written_text(report)),
            )


def in_archive(archive: Archive, read: Callable[[Iterable[Dataset], str], str]) -> Find:
    """Look for signed reports among the SR objects of a study in an archive.

    Parameters
    ----------
    archive : Archive
        Asked for each study. It may raise as every archive does.
    read : callable
        Returns the text that holds, of objects and the patient ID.
    """

    def find(drafted: Drafted) -> str:
        with tempfile.TemporaryDirectory() as folder:
            try:
                archive.fetch(drafted.study_instance_uid, Path(folder), ("SR",))
            except NotRetrieved as error:
                raise UnusableData(str(error)) from None
            objects = [dcmread(path) for path in sorted(Path(folder).iterdir())]
            same_study = [
                one for one in objects if one.StudyInstanceUID == drafted.study_instance_uid
            ]
            return read(same_study, drafted.patient_id)

    return find


def accepted_here(sessions: SessionFactory) -> Find:
    """Look for signed reports among those that radiologists accepted in the reading room."""

    def find(drafted: Drafted) -> str:
        wanted = Final.draft_id == drafted.draft_id, Final.is_current
        with sessions() as session:
            text = session.scalar(select(Final.text).where(*wanted))
        if text is None:
            raise UnusableData("nothing was accepted in the reading room")
        return text

    return find


def keep(
    sessions: SessionFactory, drafted: Drafted, signed: str, source: str, read: Read, now: datetime
) -> dict[str, list[str]]:
    """Keep a signed text with how the draft compares; returns that.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    drafted : Drafted
        What was drafted.
    signed, source : str
        The text, and where it is from.
    read : callable
        Reads the findings of a text.
    now : datetime
        The moment, in UTC.
    """
    compared = agreement(read(drafted.text), read(signed)).to_dict()
    with sessions.begin() as session:
        known = SignedText.draft_id == drafted.draft_id
        if session.scalar(select(SignedText.id).where(known)) is None:
            row = SignedText(draft_id=drafted.draft_id, source=source, text=signed)
            row.fetched_at, row.compared = now, compared
            session.add(row)
    return compared


def months(sessions: SessionFactory, since: datetime | None) -> list[Month]:
    """Sum up what is known, by model and month of the draft."""
    with sessions() as session:
        return sorted(_summed(session, since).values(), key=lambda one: (one.month, one.model))


def _summed(session: Session, since: datetime | None) -> dict[tuple[str, str], Month]:
    rows = select(Draft.created_at, Draft.model_name, SignedText.compared).outerjoin(
        SignedText, SignedText.draft_id == Draft.id
    )
    rows = rows.where(Draft.is_current, Draft.state != DraftState.ABSTAINED)
    if since is not None:
        rows = rows.where(Draft.created_at >= since)
    found: dict[tuple[str, str], Month] = {}
    for created, model, compared in session.execute(rows):
        key = model or "unknown", f"{created:%Y-%m}"
        month = found.setdefault(key, Month(*key))
        month.drafts += 1
        if compared is not None:
            month.add(compared)
    return found


def signed_texts(sessions: SessionFactory) -> Iterator[dict[str, Any]]:
    """Yield what a table of reports has to say of each signed text, for `prepare site`."""
    with sessions() as session:
        for row in session.scalars(select(SignedText).order_by(SignedText.id)):
            study = row.draft.study
            if study.accession_number:
                yield {"accession": study.accession_number, "text": row.text, "status": "F"}
