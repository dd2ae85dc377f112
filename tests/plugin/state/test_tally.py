from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from plugin.state.database import SessionFactory, connect, session_factory
from plugin.state.tally import BUCKETS_S, Counted, Tally, Timed, counting, counts


def by_name(sessions: SessionFactory) -> dict[tuple[str, ...], float]:
    return {(name, *labels.values()): value for name, labels, value in counts(sessions)}


def test_processes_add_to_one_counter(sessions: SessionFactory) -> None:
    for amount in (2, 3):
        tally = Tally()  # a process of its own
        tally.count(Counted.REFUSALS, amount, reason="StoreFull")
        tally.count(Counted.BYTES, 10)
        tally.flush(sessions)
        tally.flush(sessions)  # nothing is counted twice
    assert by_name(sessions) == {("refusals", "StoreFull"): 5, ("received_bytes",): 20}


def test_durations_fall_into_buckets(sessions: SessionFactory) -> None:
    tally = Tally()
    for seconds in (0.01, 0.011, 5000, -1):
        tally.observe(Timed.STEP, seconds, step="read")
    tally.flush(sessions)
    assert by_name(sessions) == {
        ("draft_step_seconds_sum", "read"): pytest.approx(5000.021),
        ("draft_step_seconds", str(BUCKETS_S[0]), "read"): 2,
        ("draft_step_seconds", str(BUCKETS_S[1]), "read"): 1,
        ("draft_step_seconds", "+Inf", "read"): 1,
    }


def test_what_the_database_does_not_take_is_kept(sessions: SessionFactory, tmp_path) -> None:
    tally = Tally()
    tally.count(Counted.BYTES, 7)
    without_tables = session_factory(connect(f"sqlite:///{tmp_path / 'empty.db'}"))
    with pytest.raises(OperationalError):
        tally.flush(without_tables)
    with counting(without_tables, tally):
        """Its end does not fail."""
    without_tables.kw["bind"].dispose()
    with counting(sessions, tally):
        tally.count(Counted.BYTES, 1)
    assert by_name(sessions) == {("received_bytes",): 8}
