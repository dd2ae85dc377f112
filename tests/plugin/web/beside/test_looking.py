"""Look-ups that are slow, fail, or are asked for twice."""

from __future__ import annotations

import threading

import pytest

from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.web.beside import looking
from plugin.web.beside.looking import Looking
from tests.waiting import eventually


def test_an_answer_is_kept_for_a_while() -> None:
    asked: list[int] = []
    found = Looking[int]()
    for _ in range(3):
        assert found.get("key", lambda: len(asked.append(1) or asked)) == 1
    assert found.get("other", lambda: 7) == 7


def test_an_answer_that_is_old_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_KEPT_S", -1.0)
    answers = iter((1, 2))
    found = Looking[int]()
    assert [found.get("key", lambda: next(answers)) for _ in range(2)] == [1, 2]


def test_nobody_waits_for_longer_than_the_limit_and_a_late_answer_is_there_later() -> None:
    lets_go = threading.Event()
    found = Looking[str](patience_s=0.01)

    def slow() -> str:
        lets_go.wait(60)
        return "late"

    with pytest.raises(PeerUnreachable, match="no answer within"):
        found.get("key", slow)
    lets_go.set()
    eventually(lambda: _now(found) == "late")


def _now(found: Looking[str]) -> str | None:
    def never() -> str:
        raise AssertionError("it is known")

    try:
        return found.get("key", never)
    except PeerUnreachable:
        return None


def test_a_system_that_hangs_holds_up_a_few_threads_only() -> None:
    lets_go = threading.Event()
    found = Looking[bool](patience_s=0.01)
    before = threading.active_count()
    try:
        for key in range(10):
            with pytest.raises(PeerUnreachable):
                found.get(key, lambda: lets_go.wait(60))
        assert threading.active_count() - before <= 4
    finally:
        lets_go.set()


def test_the_error_of_a_look_up_is_told() -> None:
    def refuses() -> int:
        raise AssociationRejected("no")

    found = Looking[int]()
    for _ in range(2):
        with pytest.raises(AssociationRejected, match="no"):
            found.get("key", refuses)
