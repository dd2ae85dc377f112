"""What a worker remembers from one look at the database to the next, by a clock nobody sets.

Whether a receiver lives is seen from its heartbeats changing, not from the times in them; and time
that passed only because the clock was set forward ends no wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from plugin.state.audit import Outcome
from plugin.state.clock import CLOCK_SLACK
from plugin.state.completeness import Patience, release
from plugin.state.tables import Hold, Job, JobState

LOGGER = logging.getLogger(__name__)
_LATEST_BEATS = select(Hold.association, func.max(Hold.heartbeat)).group_by(Hold.association)
# Six heartbeats of a receiver: one that has not spoken for so long is dead, and holds nothing
STALE_S = 30.0
# A receiver that was only stopped may go on; after so long its row is of no use
_FORGOTTEN_S = 300.0


@dataclass
class Watch:
    """The memory of one worker.

    Parameters
    ----------
    patience : Patience
        How long more slices of a study are waited for.
    lease_s : float
        How long a claim lasts unless it is renewed.
    steady : callable
        Seconds that pass whatever the clock is set to.
    """

    patience: Patience = field(default_factory=lambda: Patience.of_seconds(60.0, 3600.0))
    lease_s: float = 60.0
    steady: Callable[[], float] = time.monotonic
    claims: int = field(default=0, init=False)
    _beats: dict[str, tuple[datetime, float]] = field(default_factory=dict, init=False)
    _last: tuple[datetime, float] | None = field(default=None, init=False)

    def look(self, session: Session, now: datetime) -> list[str]:
        """Return the associations whose receivers are dead; give back time that never passed.

        Parameters
        ----------
        session : Session
            The caller's transaction.
        now : datetime
            What the clock says, in UTC.
        """
        self._give_back_time(session, now)
        steady = self.steady()
        latest = session.execute(_LATEST_BEATS)
        before, self._beats = self._beats, {}
        for name, beat in latest:
            known = before.get(name)
            self._beats[name] = known if known is not None and known[0] == beat else (beat, steady)
        silent_s = {name: steady - since for name, (_, since) in self._beats.items()}
        if forgotten := [name for name, silent in silent_s.items() if silent > _FORGOTTEN_S]:
            release(session, forgotten, Outcome.MINOR_FAILURE)
        return [name for name, silent in silent_s.items() if silent > STALE_S]

    def _give_back_time(self, session: Session, now: datetime) -> None:
        """Have what seems to have passed while the clock was set forward wait once more."""
        steady = self.steady()
        last, self._last = self._last, (now, steady)
        if last is None:
            return
        expected = last[0] + timedelta(seconds=steady - last[1])
        if now - expected <= CLOCK_SLACK:
            return
        LOGGER.warning("the clock was set forward by %.0f s", (now - expected).total_seconds())
        for moment, longest in (
            (Job.deadline, self.patience.quiet),
            (Job.hard_deadline, self.patience.cap),
            (Job.lease_until, timedelta(seconds=self.lease_s)),
        ):
            open_ = Job.state.in_((JobState.PENDING, JobState.RUNNING))
            session.execute(
                update(Job)
                .where(open_, moment > expected, moment <= now)
                .values({moment: now + longest})
                .execution_options(synchronize_session=False)
            )
