from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from plugin.state.audit import AuditForwarding
from plugin.state.kinds import Kind
from plugin.state.tables import Delivery, DeliveryState, Event, Job, JobState, Level, Study
from plugin.state.timeline import add_event
from plugin.upkeep.alarms.causes import Finding, channel_states, late_states
from plugin.upkeep.alarms.open_alarms import Alarms
from plugin.upkeep.alarms.quiet_hours import QuietHours
from plugin.upkeep.alarms.tables import Alarm, Notice
from tests.plugin.delivery.drafts import Clock, Service

MINUTE, HOUR = 60, 3600


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(sessions, clock):
    """Alarms with one channel; and a state that is what the test says."""
    found = []

    def watch(**options):
        alarms = Alarms(
            sessions, looks=[lambda *_: list(found)], channels=["team"], now=clock, **options
        )
        alarms.look()

    watch.found = found
    return watch


@pytest.fixture
def happen(sessions, clock):
    def happen(kind, times=1, *, level=Level.ALERT, study_id=None, **detail):
        for _ in range(times):
            with sessions.begin() as session:
                add_event(
                    session,
                    kind,
                    f"{kind} happened",
                    now=clock(),
                    level=level,
                    study_id=study_id,
                    detail=detail or None,
                )

    return happen


@pytest.fixture
def news(sessions):
    """What is to be sent: (cause, news), oldest first."""

    def news():
        with sessions() as session:
            asked = select(Alarm.cause, Notice.news).join(Notice.alarm).order_by(Notice.id)
            return [tuple(row) for row in session.execute(asked)]

    return news


@pytest.fixture
def sent(sessions, clock):
    """All news are sent."""

    def sent():
        with sessions.begin() as session:
            session.execute(update(Notice).where(Notice.sent_at.is_(None)).values(sent_at=clock()))

    return sent


def test_one_cause_is_one_alarm_with_a_count(watch, happen, rows, news):
    happen(Kind.FAILED, 3)
    watch()
    happen(Kind.FAILED)
    watch()
    (alarm,) = rows(Alarm)
    assert (alarm.cause, alarm.count, alarm.over_at) == ("failed", 4, None)
    assert news() == [("failed", "raised")]


def test_only_alerts_are_alarms(watch, happen, rows):
    happen(Kind.FAILED, level=Level.WARNING)
    happen(Kind.DRAFTED, level=Level.INFO)
    watch()
    assert rows(Alarm) == []


def test_what_is_counted_is_not_counted_again(watch, happen, rows):
    happen(Kind.DAMAGED)
    watch()
    watch()
    assert [alarm.count for alarm in rows(Alarm)] == [1]


def test_a_kill_before_the_end_of_a_look_leaves_all_of_it_to_the_next(
    watch, happen, rows, monkeypatch
):
    happen(Kind.DAMAGED)
    with monkeypatch.context() as killed:
        killed.setattr(Alarms, "_end", None)
        watch.found.append(Finding("disk", "full"))
        watch()
        watch.found.clear()
        happen(Kind.DAMAGED)
        with pytest.raises(TypeError):
            watch()
    assert [(alarm.cause, alarm.count) for alarm in rows(Alarm)] == [("damaged", 1), ("disk", 1)]
    watch()
    assert [(alarm.cause, alarm.count) for alarm in rows(Alarm)] == [("damaged", 2), ("disk", 1)]


def test_what_happens_is_over_after_a_calm_hour_and_may_begin_again(
    watch, happen, rows, clock, news, sent
):
    happen(Kind.REFUSED)
    watch()
    sent()
    clock.pass_by(HOUR - 1)
    watch()
    assert rows(Alarm)[0].over_at is None
    clock.pass_by(1)
    watch()
    assert rows(Alarm)[0].over_at == clock()
    happen(Kind.REFUSED)
    watch()
    assert news() == [("refused", "raised"), ("refused", "over"), ("refused", "raised")]


def test_a_state_is_an_alarm_while_it_lasts(watch, rows, clock, news, sent):
    watch.found.append(Finding("disk", "1 MB are free"))
    watch()
    sent()
    clock.pass_by(MINUTE)
    watch.found[0] = Finding("disk", "0 MB are free")
    watch()
    assert [(a.count, a.message, a.over_at) for a in rows(Alarm)] == [(1, "0 MB are free", None)]
    watch.found.clear()
    watch()
    assert news() == [("disk", "raised"), ("disk", "over")]


def test_what_was_over_before_anybody_was_told_is_one_message(watch, news):
    watch.found.append(Finding("disk", "full"))
    watch()
    watch.found.clear()
    watch()
    assert news() == [("disk", "over")]


def test_an_alarm_that_grows_is_told_again_after_some_hours(watch, happen, clock, news, sent):
    happen(Kind.DAMAGED)
    watch()
    sent()
    for _ in range(7):
        clock.pass_by(HOUR - 1)
        happen(Kind.DAMAGED)
        watch()
    assert news() == [("damaged", "raised"), ("damaged", "repeated")]


def test_in_quiet_hours_only_urgent_alarms_are_due(watch, happen, rows, clock):
    begin = clock().astimezone().time()
    end = (clock().astimezone() + timedelta(hours=2)).time()
    happen(Kind.FAILED)
    happen(Kind.REFUSED)
    watch(quiet=QuietHours(begin, end))
    due = {notice.alarm_id: notice.not_before for notice in rows(Notice)}
    causes = {alarm.id: alarm.cause for alarm in rows(Alarm)}
    assert {causes[key]: moment for key, moment in due.items()} == {
        "failed": clock() + timedelta(hours=2),
        "refused": clock(),
    }


def test_which_causes_are_urgent_is_a_setting(watch, happen, rows):
    happen(Kind.FAILED)
    happen(Kind.REFUSED)
    watch(urgent=("failed",))
    assert {a.cause: a.urgent for a in rows(Alarm)} == {"failed": True, "refused": False}


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (Kind.ENGINE_DOWN, Kind.ENGINE_UP),
        (Kind.RULES_REFUSED, Kind.RULES_CHANGED),
        (Kind.DISK_FILLING, Kind.DISK_EASED),
        (Kind.CLOCK_WRONG, Kind.CLOCK_RIGHT),
    ],
)
def test_some_causes_are_over_with_an_event(watch, happen, rows, clock, begin, end):
    happen(begin)
    watch()
    clock.pass_by(2 * HOUR)
    watch()
    assert rows(Alarm)[0].over_at is None
    happen(end, level=Level.INFO)
    watch()
    assert rows(Alarm)[0].over_at is not None


def test_an_alarm_names_the_latest_studies(watch, happen, rows, sessions, clock):
    with sessions.begin() as session:
        for number in range(12):
            session.add(
                Study(
                    study_instance_uid=f"1.{number}",
                    first_received_at=clock(),
                    last_received_at=clock(),
                )
            )
    keys = [study.id for study in rows(Study)]
    for key in (*keys, keys[-1]):
        happen(Kind.FAILED, study_id=key)
    watch()
    (alarm,) = rows(Alarm)
    assert (alarm.count, alarm.studies) == (13, keys[-10:])


def test_each_destination_that_fails_is_a_cause_until_nothing_is_failed_there(
    watch, happen, rows, sessions, tmp_path
):
    service = Service(sessions, tmp_path)
    service.draft("pacs", "vna")
    with sessions.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.FAILED))
    for name in ("pacs", "vna"):
        happen(Kind.DELIVERY_FAILED, destination=name)
    watch()
    assert [alarm.cause for alarm in rows(Alarm)] == [
        "delivery failed: pacs",
        "delivery failed: vna",
    ]
    with sessions.begin() as session:
        at_pacs = update(Delivery).where(Delivery.destination == "pacs")
        session.execute(at_pacs.values(state=DeliveryState.PENDING))
    watch()
    assert [alarm.over_at is None for alarm in rows(Alarm)] == [False, True]


def test_drafts_that_wait_for_a_destination_that_is_away_are_an_alarm(sessions, tmp_path):
    service = Service(sessions, tmp_path)
    service.draft("pacs")
    with sessions.begin() as session:
        session.execute(update(Delivery).values(away=True))
    look = late_states(timedelta(minutes=15))
    with sessions() as session:
        assert list(look(session, service.clock() + timedelta(minutes=14))) == []
        (found,) = look(session, service.clock() + timedelta(minutes=15))
    assert (found.cause, found.message) == ("away: pacs", "pacs does not answer, 1 draft waits")


def test_studies_that_no_worker_begins_are_an_alarm(sessions, tmp_path):
    service = Service(sessions, tmp_path)
    service.draft()
    with sessions.begin() as session:
        session.execute(update(Job).values(state=JobState.PENDING))
    with sessions() as session:
        (found,) = late_states(timedelta(0))(session, service.clock())
    assert found.cause == "waiting"


def test_a_repository_that_is_away_is_an_alarm(sessions, clock):
    with sessions.begin() as session:
        at = AuditForwarding(repository="atna", not_before=clock(), last_error="it is down")
        at.away_since = clock()
        session.add(at)
    with sessions() as session:
        (found,) = late_states(timedelta(0))(session, clock())
    assert found == Finding("repository: atna", "atna takes no audit messages: it is down")


def test_a_channel_that_takes_no_alarms_is_one_at_the_others(sessions, clock, happen, news):
    alarms = Alarms(sessions, looks=[channel_states], channels=["team", "chat"], now=clock)
    happen(Kind.DAMAGED)
    alarms.look()
    with sessions.begin() as session:
        at_team = update(Notice).where(Notice.channel == "team")
        session.execute(at_team.values(attempts=2, last_error="refused"))
    alarms.look()
    alarms.look()
    with sessions() as session:
        told = select(Alarm.cause, Notice.channel).join(Notice.alarm).order_by(Notice.id)
        assert [tuple(row) for row in session.execute(told)] == [
            ("damaged", "team"),
            ("damaged", "chat"),
            ("channel: team", "chat"),
        ]


def test_what_is_over_for_a_year_is_forgotten(watch, rows, clock, sent):
    watch.found.append(Finding("disk", "full"))
    watch()
    sent()
    watch.found.clear()
    watch()
    clock.pass_by(365 * 24 * HOUR)
    watch()
    assert (rows(Alarm), rows(Notice)) == ([], [])


def test_alerts_of_before_the_alarms_are_nobodys(sessions, watch, rows):
    with sessions.begin() as session:
        old = datetime(2025, 1, 1, tzinfo=UTC)
        session.add(Event(time=old, kind="failed", level=Level.ALERT, message="long ago"))
    watch()
    assert rows(Alarm) == []
