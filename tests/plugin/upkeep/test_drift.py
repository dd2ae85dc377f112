from itertools import count

import pytest
from sqlalchemy import update

from plugin.state.tables import Draft, Job, JobState, Study
from plugin.upkeep.alarms.causes import drift_states
from plugin.upkeep.alarms.open_alarms import Alarms
from plugin.upkeep.alarms.tables import Alarm
from plugin.upkeep.drift import DRAFTS, mean_drift
from plugin.upkeep.metrics.figures import drift as drift_figure
from tests.plugin.delivery.drafts import Clock

SET = "phantoms, 300 studies"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def draft(sessions, clock):
    """As many drafts as a test wants, each of a study of its own."""
    numbers = count()

    def draft(times, drift, calibrated_on=SET):
        with sessions.begin() as session:
            for _ in range(times):
                uid, now = f"1.2.{next(numbers)}", clock()
                study = Study(study_instance_uid=uid, first_received_at=now, last_received_at=now)
                due = dict.fromkeys(("deadline", "hard_deadline", "not_before", "created_at"), now)
                job = Job(study=study, revision=1, state=JobState.DONE, **due)
                session.add(
                    Draft(
                        study=study,
                        job=job,
                        revision=1,
                        state="complete",
                        sop_instance_uid=f"{uid}.1",
                        series_instance_uid=f"{uid}.2",
                        path="x",
                        selected_digest="d",
                        created_at=now,
                        calibrated_on=calibrated_on,
                        drift=drift,
                    )
                )

    return draft


def mean(sessions):
    with sessions() as session:
        return mean_drift(session)


def test_the_mean_is_of_enough_drafts_of_one_calibration(sessions, draft, clock):
    draft(DRAFTS, 0.5, "another set, 80 studies")
    draft(DRAFTS - 1, -0.1)
    draft(3, None, None)
    assert mean(sessions) is None
    draft(1, -0.1)
    assert mean(sessions) == pytest.approx(-0.1)
    with sessions() as session:
        assert list(drift_figure(session, clock())) == [((), pytest.approx(-0.1))]


def test_nothing_is_told_before_the_first_draft(sessions, clock):
    assert mean(sessions) is None
    with sessions() as session:
        assert list(drift_figure(session, clock())) == []


def test_an_alarm_begins_beyond_the_limit_and_ends_well_within(sessions, draft, rows, clock):
    alarms = Alarms(sessions, looks=[drift_states], now=clock)

    def look(drift):
        with sessions.begin() as session:
            session.execute(update(Draft).values(drift=drift))
        alarms.look()
        return [one.over_at is None for one in rows(Alarm)]

    draft(DRAFTS, 0)
    assert look(0.24) == []
    assert look(0.26) == [True]
    assert look(0.2) == [True]
    assert look(0.15) == [False]
    assert look(-0.2) == [False]
    assert look(-0.3) == [False, True]
    assert "more sure of the last 50 drafts" in rows(Alarm)[-1].message
