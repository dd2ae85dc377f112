"""Those who wait for the same answer share it, and it is never older than their question."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from plugin.web.reading.shared import Shared
from tests.waiting import eventually


def test_those_who_wait_share_one_answer() -> None:
    shared, go, looks = Shared[int](), threading.Event(), []

    def look_up() -> int:
        looks.append(1)
        assert go.wait(10)
        return len(looks)

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(shared.get, "same", look_up)
        assert eventually(lambda: bool(looks))
        others = [pool.submit(shared.get, "same", look_up) for _ in range(5)]
        assert eventually(lambda: pool._work_queue.empty())
        go.set()
        assert first.result() == 1
        # What began before they asked does not do for them
        assert {one.result() >= 2 for one in others} == {True}
    assert len(looks) <= 6


def test_every_question_has_its_own_answer() -> None:
    shared = Shared[str]()
    assert shared.get("one", lambda: "1") == "1"
    assert shared.get("two", lambda: "2") == "2"
    assert shared.get("one", lambda: "3") == "3"
