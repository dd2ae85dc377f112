"""What the timeline tells about the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dicom_io.errors import EngineUnavailable
from engine.protocol import ModelIdentity
from plugin.drafting.engine_watch import DOWN, UP, EngineWatch, tell_failure
from plugin.state.database import SessionFactory
from plugin.state.tables import Event
from plugin.state.timeline import add_event

FIRST = ModelIdentity("ours", "1", "a" * 64, False, ())
SECOND = replace(FIRST, version="2", digest="b" * 64)


class Engine:
    """Answers as the test says."""

    def __init__(self) -> None:
        self.runs: ModelIdentity | None = FIRST

    def identify(self) -> ModelIdentity:
        if self.runs is None:
            raise EngineUnavailable("ConnectError")
        return self.runs


@pytest.fixture
def remote() -> Engine:
    return Engine()


@pytest.fixture
def new_watch(sessions: SessionFactory, remote: Engine) -> Callable[[], EngineWatch]:
    """A watch as every worker has one, also after a restart."""
    return lambda: EngineWatch(sessions, "http://gpu:11180", remote.identify)


@pytest.fixture
def kinds(rows) -> Callable[[], list[str]]:
    return lambda: [event.kind for event in rows(Event)]


def test_an_engine_that_answers_is_told_once(new_watch, kinds, rows):
    watch = new_watch()
    assert watch.ready()
    assert watch.ready()
    assert kinds() == ["engine_up"]
    message = rows(Event)[0].message
    assert message == "engine http://gpu:11180 answers: ours 1 (aaaaaaaaaaaa)"


def test_an_outage_is_an_alert_and_its_end_is_told(new_watch, remote, kinds, rows):
    watch = new_watch()
    watch.ready()
    remote.runs = None
    assert not watch.ready()
    assert not watch.ready()
    remote.runs = FIRST
    assert watch.ready()
    assert kinds() == ["engine_up", "engine_down", "engine_up"]
    down = rows(Event)[1]
    assert down.level == "alert"
    assert down.message == "the engine is down, studies wait: ConnectError"


def test_several_workers_tell_an_outage_once(new_watch, remote, kinds):
    remote.runs = None
    for watch in (new_watch(), new_watch()):
        assert not watch.ready()
    assert kinds() == ["engine_down"]


@pytest.mark.parametrize("meanwhile", ["nothing", "an outage", "a restart of the worker"])
def test_another_model_is_noticed(new_watch, remote, rows, meanwhile):
    watch = new_watch()
    watch.ready()
    if meanwhile == "an outage":
        remote.runs = None
        watch.ready()
    elif meanwhile == "a restart of the worker":
        watch = new_watch()
    remote.runs = SECOND
    assert watch.ready()
    changed = rows(Event)[-1]
    assert (changed.kind, changed.level) == ("model_changed", "warning")
    assert changed.message == (
        "the model changed: ours 2 (bbbbbbbbbbbb) takes the place of ours 1 (aaaaaaaaaaaa)"
    )


def test_the_same_model_on_another_host_is_no_change_of_model(sessions, new_watch, remote, kinds):
    new_watch().ready()
    EngineWatch(sessions, "http://other:11180", remote.identify).ready()
    assert kinds() == ["engine_up", "engine_up"]


def test_events_of_studies_are_not_taken_for_the_engines(sessions, new_watch, kinds):
    new_watch().ready()
    with sessions.begin() as session:
        add_event(session, "received", "1 slice", now=datetime.now(UTC))
    new_watch().ready()
    assert kinds() == ["engine_up", "received"]


def test_a_model_that_does_not_load_is_an_alert_until_it_does(sessions, new_watch, kinds):
    for _ in range(2):
        tell_failure(sessions, "http://gpu:11180", "config.json is no JSON")
    assert kinds() == [DOWN]
    assert new_watch().ready()
    assert kinds() == [DOWN, UP]
