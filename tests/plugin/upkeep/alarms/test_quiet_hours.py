from datetime import datetime

import pytest

from plugin.upkeep.alarms.quiet_hours import QuietHours


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        ("22:00-06:00", "2026-01-01T21:59", None),
        ("22:00-06:00", "2026-01-01T22:00", "2026-01-02T06:00"),
        ("22:00-06:00", "2026-01-02T05:59", "2026-01-02T06:00"),
        ("22:00-06:00", "2026-01-02T06:00", None),
        ("12:00-13:30", "2026-01-01T12:30", "2026-01-01T13:30"),
        ("12:00-13:30", "2026-01-01T13:30", None),
        ("07:00-07:00", "2026-01-01T06:00", "2026-01-01T07:00"),
        ("07:00-07:00", "2026-01-01T08:00", "2026-01-02T07:00"),
    ],
)
def test_they_end_at_the_next_time_of_day_that_they_name(hours, now, end):
    moment = datetime.fromisoformat(now).astimezone()
    expected = datetime.fromisoformat(end).astimezone() if end else None
    assert QuietHours.parse(hours).end_after(moment) == expected
