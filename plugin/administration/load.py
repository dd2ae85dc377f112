"""What the service has to do, and how much it gets done."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.administration.overview import engine_alert
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.running.pulse import processes
from plugin.state.tables import Draft, Study
from plugin.upkeep.metrics import figures

# The last day, hour by hour, is what a person compares with the day before
_HOUR, _HOURS = timedelta(hours=1), 24


def load_to_dict(sessions: SessionFactory, spool: Path) -> dict[str, Any]:
    """Return the queue by state and urgency, deliveries, processes, and the last hours.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    spool : Path
        Its spool, where processes show that they live.
    """
    with sessions() as session:
        now = now_of(session)
        jobs = figures.jobs(session, now)
        oldest = figures.oldest_due_job(session, now)
        open_ones = figures.open_deliveries(session, now)
        delivered = figures.oldest_delivery(session, now)
        hours = _hours(session, now)
        alert = engine_alert(session)
    return {
        "alert": alert,
        "jobs": [{"state": s, "urgency": u, "count": int(n)} for (s, u), n in jobs],
        "oldest_due": [{"urgency": u, "seconds": round(n)} for (u,), n in oldest],
        "deliveries": [{"destination": d, "state": s, "count": int(n)} for (d, s), n in open_ones],
        "oldest_delivery": [{"destination": d, "seconds": round(n)} for (d,), n in delivered],
        "processes": [asdict(one) for one in processes(spool)],
        "hours": hours,
    }


def _hours(session: Session, now: datetime) -> list[dict[str, Any]]:
    """Return how many studies came and drafts were written in the last hours, oldest first."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS - 1)
    came = session.scalars(
        select(Study.first_received_at).where(Study.first_received_at >= first)
    ).all()
    # As the index says; whose file is deleted within a day was replaced
    kept = Draft.path != "", Draft.created_at >= first
    written = session.scalars(select(Draft.created_at).where(*kept)).all()
    studies, drafts = (
        Counter((one - first) // _HOUR for one in found) for found in (came, written)
    )
    return [
        {"begins": first + n * _HOUR, "studies": studies[n], "drafts": drafts[n]}
        for n in range(_HOURS)
    ]
