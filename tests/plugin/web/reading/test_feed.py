"""Changes reach every open page, by one look at the database for all of them."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from plugin.web.access.gate import COOKIE
from plugin.web.reading.feed import Feed
from tests.engine.servers import serving
from tests.plugin.web.reading.conftest import Rooms


def told(lines: list[str]) -> list[tuple[str, dict[str, object]]]:
    pairs = [line.strip().split("\n") for line in lines if line.startswith("event:")]
    return [
        (kind.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for kind, data in pairs
    ]


async def heard(feed: Feed, change: object, count: int) -> list[str]:
    listening = feed.listen(heartbeat_s=0.05)
    lines = [await anext(listening)]
    await asyncio.to_thread(change)  # type: ignore[arg-type]
    await asyncio.to_thread(feed.look)
    lines += [await anext(listening) for _ in range(count)]
    await listening.aclose()  # type: ignore[attr-defined]
    return lines


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_change_is_told_once(rooms: Rooms) -> None:
    feed = rooms.room.feed
    feed.look()

    def change() -> None:
        rooms.service.arrive(1)
        rooms.ann.post("/api/studies/1.2.0/presence")

    lines = asyncio.run(heard(feed, change, 3))
    assert told(lines) == [
        ("study", {"study_instance_uid": "1.2.1"}),
        ("presence", {"study_instance_uid": "1.2.0", "readers": ["Ann"]}),
    ]
    assert lines[-1].startswith(":")  # a heartbeat: nothing else has changed


def test_pages_are_told_over_http(rooms: Rooms) -> None:
    feed = rooms.room.feed
    feed.look()
    with serving(rooms.app) as url, httpx.Client(cookies={COOKIE: "rob"}) as client:
        with client.stream("GET", f"{url}/api/events") as answer:
            lines = answer.iter_lines()
            assert next(lines) == ": here"
            rooms.ann.post("/api/studies/1.2.0/presence")
            feed.look()
            assert next(one for one in lines if one.startswith("event")) == "event: presence"
        assert answer.headers["content-type"].startswith("text/event-stream")
