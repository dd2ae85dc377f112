"""A reading room over a service with drafts; Ann may review, Rob reads along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plugin.web.access.gate import Gate, identify
from plugin.web.application import create_app
from plugin.web.dicomweb.archive import Archive
from plugin.web.reading.decisions import Consequences
from plugin.web.reading.feed import Feed
from plugin.web.reading.room import Room
from plugin.web.routes.reading import reading_routers
from tests.plugin.conftest import database
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward
from tests.plugin.web.people import add_person, browser


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """SQLite, unless a test asks for another."""
    yield from database(getattr(request, "param", "sqlite"), request, tmp_path)


@dataclass
class Rooms:
    """The service, its room, and the browsers of those who may use it."""

    service: Ward
    room: Room
    app: FastAPI
    ann: TestClient
    rob: TestClient


def reading_room(service: Ward, follows: Consequences | None = None) -> Rooms:
    """Open a reading room over a service."""
    gate = Gate(service.sessions)
    archive = Archive(service.sessions, service.spool)
    consequences = follows or Consequences()
    feed = Feed(service.sessions)
    room = Room(gate, archive, feed, identify, consequences=consequences)
    app = create_app(gate, reading_routers(room), secure=False)
    add_person(service.sessions, "ann", "radiologist")
    add_person(service.sessions, "rob", "reader")
    return Rooms(service, room, app, browser(app, "ann"), browser(app, "rob"))


@pytest.fixture
def rooms(drafted: Callable[..., Ward]) -> Rooms:
    """A room with one drafted study, 1.2.0."""
    return reading_room(drafted(1))
