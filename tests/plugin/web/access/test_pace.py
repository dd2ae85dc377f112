"""Whoever asks too often is told when to ask again, and nobody else is held up."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plugin.sections.web import Web
from plugin.web.access import pace
from plugin.web.access.gate import COOKIE
from plugin.web.access.pace import BURST_S, Pace, Paced
from plugin.web.dicomweb.problems import Refused


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return [1000.0]


def passes(paced: Pace, who: str) -> bool:
    try:
        paced.require(who)
    except Refused:
        return False
    return True


def test_many_at_once_then_as_fast_as_the_bucket_fills(clock: list[float]) -> None:
    paced = Pace(2, 5, now=lambda: clock[0])
    assert [passes(paced, "a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert passes(paced, "b")
    clock[0] += 1
    assert [passes(paced, "a") for _ in range(3)] == [True, True, False]
    with pytest.raises(Refused) as refused:
        paced.require("a")
    assert (refused.value.status, refused.value.after_s) == (429, 0.5)


def test_who_is_forgotten_had_a_full_bucket(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_MOST_KEPT", 2)
    paced = Pace(1, 2, now=lambda: clock[0])
    assert [passes(paced, "a") for _ in range(3)] == [True, True, False]
    assert [passes(paced, one) for one in "bcde"] == [True] * 4
    assert not passes(paced, "a")
    clock[0] += 1
    assert passes(paced, "f")
    assert len(vars(paced)["_left"]) == 2


def asking(a_second: float, address_a_second: float) -> Any:
    app = FastAPI()
    app.get("/")(lambda: "seen")
    return Paced(app, a_second, address_a_second)


def test_a_session_is_told_when_to_ask_again() -> None:
    a_second = 0.1  # so slow that a busy machine fills no bucket meanwhile
    app = asking(a_second, 1000)
    own, other = (TestClient(app, cookies={COOKIE: name}) for name in ("own", "other"))
    assert [own.get("/").status_code for _ in range(2)] == [200, 429]
    refused = own.get("/")
    assert refused.json()["code"] == "too-many-requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= 1 / a_second
    token = {"Authorization": "Bearer ctscribe_token"}
    assert other.get("/").status_code == 200
    assert [TestClient(app, headers=token).get("/").status_code for _ in range(2)] == [200, 429]


def test_who_invents_sessions_is_known_by_the_address() -> None:
    app = asking(1000, 0.1)
    answers = [TestClient(app, cookies={COOKIE: str(k)}).get("/").status_code for k in range(2)]
    assert answers == [200, 429]


def test_a_viewer_may_fetch_three_hundred_images_a_second_for_as_long_as_it_likes() -> None:
    clock, web = [0.0], Web()
    paced = Pace(web.requests_a_second, BURST_S * web.requests_a_second, now=lambda: clock[0])
    for _ in range(60):
        clock[0] += 1
        assert all(passes(paced, "viewer") for _ in range(300))
