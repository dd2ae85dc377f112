"""Which senders were refused, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kept.refusals import refused_since

_DAY = timedelta(days=1)
_SHOWN = ("sender", "address", "reason", "count", "first_at", "last_at")


def refusals(sessions: SessionFactory, since: datetime | None = None) -> list[dict[str, Any]]:
    """List who was refused, the latest first, in plain values.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    since : datetime, optional
        The first moment that counts; by default a day ago.
    """
    with sessions() as session:
        rows = refused_since(session, since or now_of(session) - _DAY)
    return [{key: getattr(one, key) for key in _SHOWN} for one in rows]
