from datetime import datetime, timedelta

import pytest

from training.site.sources.pace import Hours, Pace


class Clock:
    """A clock that sleeping moves."""

    def __init__(self, hour: int) -> None:
        self.time = datetime(2024, 1, 1, hour)
        self.slept = 0.0

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.time += timedelta(seconds=seconds)


def pace(clock: Clock, **limits) -> Pace:
    return Pace(**limits, now=clock.now, sleep=clock.sleep)


def test_studies_begin_no_faster_than_the_rate():
    clock = Clock(12)
    slow = pace(clock, studies_a_minute=2)
    for _ in range(4):
        slow.wait()
    assert clock.slept == 90


def test_without_limits_nothing_waits():
    clock = Clock(12)
    pace(clock).wait()
    assert clock.slept == 0


@pytest.mark.parametrize(
    ("hour", "waits"), [(12, 8), (20, 0), (23, 0), (0, 0), (5, 0), (6, 14), (19, 1)]
)
def test_a_night_goes_over_midnight(hour, waits):
    clock = Clock(hour)
    pace(clock, hours=Hours.parse("20:00-06:00")).wait()
    assert clock.slept == waits * 3600


@pytest.mark.parametrize(("hour", "waits"), [(8, 1), (9, 0), (16, 0), (17, 16)])
def test_hours_of_the_day(hour, waits):
    clock = Clock(hour)
    said: list[str] = []
    pace(clock, hours=Hours.parse("9:00-17:00")).wait(said.append)
    assert clock.slept == waits * 3600
    assert set(said) == ({"waiting for 09:00"} if waits else set())


@pytest.mark.parametrize("text", ["20-06", "20:00", "25:00-06:00", "a"])
def test_hours_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"20:00-06:00|match format"):
        Hours.parse(text)
