"""The usual group is recorded as `intake.record` would; whatever is not usual is left to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text, update

from plugin.reception import intake
from plugin.reception.intake import Cache
from plugin.reception.steady import Steady
from plugin.state.tables import Event, Hold, Instance, Job, JobState, Study
from tests.plugin.arrivals import PATIENCE, arrival, document

FIRST = arrival(1, association="a")


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def steady(sessions, cache):
    """After the first slice of an association."""
    with sessions.begin() as session:
        now = datetime.now(UTC)
        intake.record(session, [FIRST], patience=PATIENCE, now=now, cache=cache)
    steady = Steady(sessions.kw["bind"], PATIENCE, cache)
    yield steady
    steady.close()


def values(row) -> dict[str, object]:
    own = ("id", "sop_instance_uid", "path", "sha256", "received_at")
    return {name: one for name, one in vars(row).items() if name not in own and name[0] != "_"}


def test_its_rows_are_those_of_intake(steady, rows):
    (before,) = rows(Job)
    assert steady.record([arrival(3, association="a"), arrival(2, association="a")])
    first, second, third = rows(Instance)
    assert values(first) == values(second) == values(third)
    assert [one.sop_instance_uid for one in (second, third)] == ["1.2.9.3", "1.2.9.2"]
    assert second.received_at == rows(Study)[0].last_received_at
    (job,) = rows(Job)
    assert job.deadline == second.received_at + PATIENCE.quiet > before.deadline
    assert job.hard_deadline == before.hard_deadline
    assert (len(rows(Event)), len(rows(Hold))) == (1, 1)


def test_a_quiet_period_of_the_study_counts(steady, sessions, rows):
    with sessions.begin() as session:
        session.execute(update(Study).values(quiet_s=500.0))
    assert steady.record([arrival(2, association="a")])
    assert (rows(Job)[0].deadline - rows(Instance)[1].received_at).total_seconds() == 500


@pytest.mark.parametrize(
    "other",
    [
        FIRST,
        replace(FIRST, sha256="f" * 64),
        arrival(2, association="b"),
        arrival(2),
        arrival(2, study="1.3", association="a"),
        replace(arrival(2, association="a"), redraft=True),
        replace(arrival(2, association="a"), announced=2),
        replace(document(2), association="a"),
        replace(
            arrival(2, association="a"), header=replace(FIRST.header, series_instance_uid="1.2.6")
        ),
    ],
    ids=[
        "known",
        "conflict",
        "association",
        "none",
        "study",
        "redraft",
        "announced",
        "sr",
        "series",
    ],
)
def test_what_is_not_usual_is_left_to_intake_with_its_whole_group(steady, rows, other):
    before = rows(Study)[0].last_received_at
    assert not steady.record([arrival(5, association="a"), other])
    assert len(rows(Instance)) == 1
    assert rows(Study)[0].last_received_at == before
    assert steady.record([arrival(5, association="a")])


def test_a_study_whose_job_has_begun_is_left_to_intake(steady, sessions, rows):
    with sessions.begin() as session:
        session.execute(update(Job).values(state=JobState.RUNNING))
    assert not steady.record([arrival(2, association="a")])
    assert len(rows(Instance)) == 1


def test_a_lost_connection_is_opened_again(steady, sessions, rows):
    assert steady.record([arrival(2, association="a")])
    if sessions.kw["bind"].dialect.name == "postgresql":
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
        own = "pg_backend_pid() AND datname = current_database()"
        with sessions.begin() as session:
            session.execute(text(others + own))
    else:
        steady._connection.dbapi_connection.close()
    assert not steady.record([arrival(3, association="a")])
    assert steady.record([arrival(3, association="a")])
    with sessions() as session:
        assert len(session.scalars(select(Instance)).all()) == 3
