"""A model turned out bad: every draft that it wrote is taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import select

from dicom_io.counted import counted
from dicom_io.errors import PluginError
from plugin.drafting.retraction import TakenBack, take_back
from plugin.state.audit import Action, Entry, Who, record
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kinds import Kind
from plugin.state.tables import Draft, Level
from plugin.state.timeline import add_event

# Enough to mean one model among those of a service, as with commits
SHORTEST_DIGEST = 8


def digest_like(sessions: SessionFactory, beginning: str) -> str:
    """Return the digest of the one model whose drafts begin with some digits.

    Raises
    ------
    PluginError
        No draft is of such a model, or drafts of several are.
    """
    if len(beginning) < SHORTEST_DIGEST:
        raise PluginError(f"{beginning}: name at least {SHORTEST_DIGEST} digits of the digest")
    with sessions() as session:
        alike = Draft.model_digest.startswith(beginning, autoescape=True)
        found = session.scalars(select(Draft.model_digest).where(alike).distinct()).all()
    if len(found) != 1:
        count = "several models" if found else "no draft"
        raise PluginError(f"{beginning}: {count}; `ctscribe models list` names the digests")
    return str(found[0])


def standing_drafts(sessions: SessionFactory, digest: str) -> list[int]:
    """Return the drafts of a model that were not taken back, oldest first."""
    with sessions() as session:
        stands = Draft.model_digest == digest, Draft.retraction_path.is_(None)
        return list(session.scalars(select(Draft.id).where(*stands).order_by(Draft.id)))


def retract_drafts(
    sessions: SessionFactory,
    spool: Spool,
    digest: str,
    rejection_notes: Collection[str],
    who: Who,
    now: datetime,
) -> Iterator[TakenBack]:
    """Take back every draft of a model, delivered or not, one after the other.

    Killed in between, it is called again, and goes on with the rest.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    digest : str
        Of the model.
    rejection_notes : collection of str
        Names of the destinations that take rejection notes.
    who : Who
        Wants it.
    now : datetime
        The moment, in UTC.

    Raises
    ------
    StoreFull
        The disk takes no rejection note.
    """
    count, why = 0, f"its model {digest[:12]} turned out bad"
    for draft_id in standing_drafts(sessions, digest):
        one = take_back(sessions, spool, draft_id, why, rejection_notes, now=now)
        if one is not None:
            count += 1
            yield one
    with sessions.begin() as session:
        of = f"of the model {digest[:12]}"
        message = f"{counted(count, f'draft {of} was', f'drafts {of} were')} retracted"
        add_event(session, Kind.MODEL_RETRACTED, message, now=now, level=Level.ALERT)
        record(session, Entry(action=Action.ASKED, who=who, detail=message), now=now)
