"""The text that was written of a study, for whoever looks at another one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pydicom import dcmread
from sqlalchemy import select

from plugin.feedback.shadows import written_text
from plugin.state.kept.signed import SignedText
from plugin.state.tables import Draft, Final, Study
from plugin.web.dicomweb.archive import Archive

SIGNED, ACCEPTED = "signed", "accepted"


@dataclass(frozen=True)
class Report:
    """Findings and impression of a study.

    Parameters
    ----------
    text : str or None
        None where there is none.
    state : str or None
        "signed", "accepted" in the reading room, or that of the draft, which nobody verified.
    """

    text: str | None = None
    state: str | None = None


def report_of(archive: Archive, study_instance_uid: str) -> Report:
    """Return the signed report of a study, else the accepted one, else its current draft.

    Parameters
    ----------
    archive : Archive
        With the drafts.
    study_instance_uid : str
        Of the study.
    """
    query = (
        select(Draft.path, Draft.state, SignedText.text, Final.text.label("accepted"))
        .join(Study, Study.id == Draft.study_id)
        .outerjoin(SignedText, SignedText.draft_id == Draft.id)
        .outerjoin(Final, (Final.draft_id == Draft.id) & Final.is_current)
        .where(Study.study_instance_uid == study_instance_uid)
        .where(Draft.is_current, Draft.retraction_path.is_(None))
    )
    with archive.sessions() as session:
        found = session.execute(query).one_or_none()
    if found is None:
        return Report()
    if found.text is not None:
        return Report(found.text, SIGNED)
    if found.accepted is not None:
        return Report(found.accepted, ACCEPTED)
    with suppress(OSError):  # deleted, as the retention says
        if found.path:
            return Report(written_text(dcmread(archive.spool.absolute(found.path))), found.state)
    return Report(None, found.state)
