"""How fast an archive is asked, and when: it has other things to do."""

from __future__ import annotations

import re
import time as clock
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

LONGEST_SLEEP_S = 60.0


@dataclass(frozen=True)
class Hours:
    """A part of the day, such as 20:00 to 06:00."""

    first: time
    last: time

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Read `20:00-06:00`.

        Raises
        ------
        ValueError
            It is no such thing.
        """
        found = re.fullmatch(r"(\d\d?:\d\d)-(\d\d?:\d\d)", text.strip())
        if not found:
            raise ValueError(f"{text!r} is not like 20:00-06:00")
        return cls(*(datetime.strptime(part, "%H:%M").time() for part in found.groups()))

    def seconds_to(self, now: datetime) -> float:
        """How long it is until the next moment within these hours; 0 within them."""
        moment = now.time()
        if self.first <= self.last:
            inside = self.first <= moment < self.last
        else:
            inside = moment >= self.first or moment < self.last
        if inside:
            return 0.0
        begin = datetime.combine(now.date(), self.first)
        return ((begin - now) % timedelta(days=1)).total_seconds()


@dataclass
class Pace:
    """Lets a study begin when it may.

    Parameters
    ----------
    studies_a_minute : float, optional
        At most; None leaves it to the archive.
    hours : Hours, optional
        In local time; a study that has begun is finished after them.
    """

    studies_a_minute: float | None = None
    hours: Hours | None = None
    now: Callable[[], datetime] = datetime.now
    sleep: Callable[[float], None] = clock.sleep
    _last: datetime | None = field(default=None, init=False)

    def wait(self, say: Callable[[str], None] = lambda sentence: None) -> None:
        """Return when the next study may begin; `say` is told what is waited for."""
        while (seconds := self._seconds_left()) > 0:
            if self.hours and self.hours.seconds_to(self.now()):
                say(f"waiting for {self.hours.first:%H:%M}")
            # the clock of the machine may be set meanwhile
            self.sleep(min(seconds, LONGEST_SLEEP_S))
        self._last = self.now()

    def _seconds_left(self) -> float:
        now = self.now()
        left = self.hours.seconds_to(now) if self.hours else 0.0
        if self.studies_a_minute and self._last:
            left = max(left, 60 / self.studies_a_minute - (now - self._last).total_seconds())
        return left
