"""The hours in which only urgent alarms are sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta


@dataclass(frozen=True)
class QuietHours:
    """From one time of the day to another, perhaps over midnight; local time of the host.

    Parameters
    ----------
    begin, end : time
        They end when `end` begins.
    """

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """Read what the settings say, such as 22:00-06:00."""
        begin, _, end = text.partition("-")
        return cls(time.fromisoformat(begin), time.fromisoformat(end))

    def end_after(self, now: datetime) -> datetime | None:
        """Return when they end, None outside of them.

        Parameters
        ----------
        now : datetime
            Aware.
        """
        local = now.astimezone()
        at = local.time()
        over_midnight = self.end <= self.begin
        within = at >= self.begin or at < self.end if over_midnight else self.begin <= at < self.end
        if not within:
            return None
        day = local.date() + timedelta(days=over_midnight and at >= self.begin)
        return datetime.combine(day, self.end).astimezone()
