"""How far the confidence of late drafts lies from what it was calibrated on."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.state.tables import Draft

DRAFTS = 50
"""Drafts over which the mean is taken.

The drift of one study lies between -1 and 1, around 0. The mean of so many stays within 0.16
in 95 of 100 cases, however the findings of a study hang together: 2 x sqrt(1/3) / sqrt(50).
"""
DRIFTED = 0.25
"""Three of these standard deviations: chance alone exceeds it in 1 of 400 looks at new drafts."""
SETTLED = 0.16
"""An alarm is over below this: within the range that is usual, and not just back at its edge."""


def mean_drift(session: Session) -> float | None:
    """Return the mean drift of the latest drafts; None where too few of them have one.

    Only those count that stand on the same calibration as the latest one.
    """
    columns = select(Draft.drift, Draft.calibrated_on).order_by(Draft.id.desc())
    # Of some drafts it is not known: those that abstained, or whose model ran out of time
    latest = session.execute(columns.limit(2 * DRAFTS))
    known = [(drift, on) for drift, on in latest if drift is not None]
    same = [drift for drift, on in known if on == known[0][1]][:DRAFTS]
    return sum(same) / DRAFTS if len(same) == DRAFTS else None
