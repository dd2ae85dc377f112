"""Work beside drafts, such as a question: a row is one worker's for a while, then anybody's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

Row = TypeVar("Row", bound=Any)


def begin_turn(
    session: Session, table: type[Row], states: tuple[str, str], attempts: int, now: datetime
) -> Row | None:
    """Take the oldest open row that is nobody's; None where there is none.

    The caller says as `not_before` until when the row is its own. A row that was begun too often
    is given up.

    Parameters
    ----------
    session : Session
        The database, in a transaction.
    table : type
        Has the columns id, state, not_before, attempts and error.
    states : tuple of str
        Of a row that is open, and of one that is given up.
    attempts : int
        How often a row is begun at most.
    now : datetime
        The moment.
    """
    opened, failed = states
    waiting = table.state == opened, table.not_before <= now
    rows = select(table).where(*waiting).order_by(table.id).limit(1)
    row: Row | None = session.scalar(rows.with_for_update(skip_locked=True))
    if row is None:
        return None
    row.attempts += 1
    if row.attempts > attempts:  # its workers died
        row.state, row.error = failed, "given up: no attempt ended"
        return None
    return row
