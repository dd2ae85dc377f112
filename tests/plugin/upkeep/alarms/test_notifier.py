from datetime import timedelta

import pytest

from dicom_io.errors import PeerUnreachable
from plugin.state.kinds import Kind
from plugin.state.tables import Level, Study
from plugin.state.timeline import add_event
from plugin.upkeep.alarms.notifier import CLAIM_S, FIRST_PAUSE_S, Notifier
from plugin.upkeep.alarms.open_alarms import Alarms
from plugin.upkeep.alarms.tables import Notice
from tests.plugin.delivery.drafts import Clock


class Team:
    """A channel that does what the test says."""

    name = "team"

    def __init__(self):
        self.messages = []
        self.error = None

    def send(self, message):
        if self.error is not None:
            raise self.error
        self.messages.append(message)


@pytest.fixture
def team():
    return Team()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notifier(sessions, team, clock):
    return Notifier(sessions, team, now=clock)


@pytest.fixture
def alarm(sessions, clock):
    """Two studies fail."""
    with sessions.begin() as session:
        for number in ("A1", None):
            study = Study(
                study_instance_uid=f"1.{number}",
                accession_number=number,
                first_received_at=clock(),
                last_received_at=clock(),
            )
            session.add(study)
            session.flush()
            add_event(
                session,
                Kind.FAILED,
                "no draft: no series",
                now=clock(),
                study_id=study.id,
                level=Level.ALERT,
            )
    Alarms(sessions, channels=["team", "other"], now=clock).look()


def test_news_are_sent_once_and_name_no_patient(alarm, notifier, team):
    notifier.notify()
    notifier.notify()
    (message,) = team.messages
    assert (message.news, message.cause, message.count) == ("raised", "failed", 2)
    assert message.studies == ("study 1", "study 2")
    assert "no draft: no series" in message.lines[0]


def test_accession_numbers_leave_only_by_choice(alarm, sessions, team, clock):
    Notifier(sessions, team, accession_numbers=True, now=clock).notify()
    assert team.messages[0].studies == ("study 1 (accession number A1)", "study 2")


def test_a_channel_that_is_away_gets_the_news_when_it_is_back(alarm, notifier, team, clock, rows):
    team.error = PeerUnreachable("team is down")
    for pause in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S):
        with pytest.raises(PeerUnreachable):
            notifier.notify()
        clock.pass_by(pause - 1)
        notifier.notify()  # not due
        clock.pass_by(1)
    (notice,) = [one for one in rows(Notice) if one.channel == "team"]
    assert (notice.attempts, notice.last_error) == (2, "team is down")
    team.error = None
    notifier.notify()
    assert len(team.messages) == 1


def test_what_a_notifier_had_that_was_killed_is_sent_under_the_same_key(
    alarm, notifier, team, clock
):
    _, lost = notifier._claim()  # and is killed
    notifier.notify()
    assert team.messages == []
    clock.pass_by(CLAIM_S)
    notifier.notify()
    assert [message.key for message in team.messages] == [lost.key]


def test_news_of_an_alarm_that_is_over_meanwhile_are_not_tried_again(
    alarm, notifier, team, clock, sessions
):
    team.error = PeerUnreachable("team is down")
    with pytest.raises(PeerUnreachable):
        notifier.notify()
    clock.pass_by(timedelta(hours=1).total_seconds())
    Alarms(sessions, channels=["team"], now=clock).look()
    team.error = None
    notifier.notify()
    assert [message.news for message in team.messages] == ["over"]
