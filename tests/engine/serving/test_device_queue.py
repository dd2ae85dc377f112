"""One device, many callers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from dicom_io.errors import EngineError, EngineFault, EngineUnavailable, OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput
from engine.fake import FakeEngine
from engine.protocol import GREEDY, Generation, Sampling
from engine.serving.device_queue import FAULTS, REMEMBERED, DeviceQueue, is_device_error
from tests.engine.conftest import input_for


class GatedEngine(FakeEngine):
    """Works when it is let, and keeps account of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.go = threading.Event()
        self.begun = threading.Event()
        self.together: Exception | None = None

    def report(self, model_input: ModelInput, sampling: Sampling = GREEDY, **how: Any) -> Any:
        self.begun.set()
        assert self.go.wait(10)
        self.batches.append(1)
        return super().report(model_input, sampling, **how)

    def report_batch(
        self, model_inputs: Sequence[ModelInput], sampling: Sampling = GREEDY
    ) -> tuple[Generation, ...]:
        if self.together is not None:
            raise self.together
        self.batches.append(len(model_inputs))
        return tuple(FakeEngine.report(self, one, sampling) for one in model_inputs)


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@contextmanager
def queue_of(engine: FakeEngine, batch: int = 4) -> Iterator[DeviceQueue]:
    queue = DeviceQueue(engine, batch=batch, observe=lambda answers, seconds: None)
    try:
        yield queue
    finally:
        queue.close()


@pytest.fixture
def queue(engine: GatedEngine) -> Iterator[DeviceQueue]:
    with queue_of(engine) as queue:
        yield queue


def ask(queue: DeviceQueue, seed: int, sampling: Sampling = GREEDY) -> Any:
    return queue.report(f"{seed} {sampling}", input_for(FakeEngine().preprocess, seed), sampling)


def expected(seed: int) -> str:
    return FakeEngine().report(input_for(FakeEngine().preprocess, seed)).text


def test_reports_that_wait_are_drafted_together_and_each_caller_gets_its_own(queue, engine):
    first = ask(queue, 0)
    assert engine.begun.wait(10)
    rest = [ask(queue, seed) for seed in range(1, 7)]
    engine.go.set()
    assert [future.result(10).text for future in (first, *rest)] == [expected(i) for i in range(7)]
    assert engine.batches == [1, 4, 2]


def test_other_sampling_is_another_batch(queue, engine):
    first = ask(queue, 0)
    assert engine.begun.wait(10)
    rest = [ask(queue, i, Sampling(max_new_tokens=8 + i % 2)) for i in range(1, 5)]
    engine.go.set()
    for future in (first, *rest):
        future.result(10)
    assert engine.batches == [1, 2, 2]


def test_equal_calls_are_answered_once(queue, engine):
    engine.go.set()
    assert ask(queue, 1).result(10) is ask(queue, 1).result(10)
    assert engine.batches == [1]


def test_old_answers_are_forgotten(queue, engine):
    engine.go.set()
    for seed in range(2 * REMEMBERED):
        ask(queue, seed).result(10)
    assert len(queue._known) <= REMEMBERED + 1


def test_a_call_without_a_key_is_never_shared(queue):
    runs: list[int] = []
    for _ in range(2):
        queue.call("a", lambda: runs.append(1), shared=False).result(10)
    assert len(runs) == 2


def test_calls_that_share_no_batch_keep_their_turn(queue, engine):
    order: list[str] = []
    first = ask(queue, 0)
    assert engine.begun.wait(10)
    futures = [queue.call(name, lambda name=name: order.append(name)) for name in "abc"]
    engine.go.set()
    for future in (first, *futures):
        future.result(10)
    assert order == ["a", "b", "c"]


def test_a_batch_that_is_too_large_for_the_device_is_drafted_one_by_one(queue, engine):
    engine.together = OutOfDeviceMemory("cuda:0 is full")
    first = ask(queue, 0)
    assert engine.begun.wait(10)
    rest = [ask(queue, seed) for seed in (1, 2)]
    engine.go.set()
    assert [future.result(10).text for future in rest] == [expected(1), expected(2)]
    first.result(10)
    assert engine.batches == [1, 1, 1]


def test_an_error_of_the_engine_reaches_its_caller_and_is_not_remembered():
    engine = FakeEngine(failure=OutOfDeviceMemory("cuda:0 is full"))
    with queue_of(engine) as queue:
        with pytest.raises(OutOfDeviceMemory, match="cuda:0"):
            ask(queue, 1).result(10)
        engine._failure = None
        assert ask(queue, 1).result(10).text == expected(1)


def test_a_fault_is_named_by_class_and_place_not_by_its_text(caplog):
    with (
        queue_of(FakeEngine(failure=ValueError("Müller^Zoë"))) as queue,
        pytest.raises(EngineFault, match=r"ValueError at fake.py:\d+") as raised,
    ):
        ask(queue, 1).result(10)
    assert "Müller" not in str(raised.value) + caplog.text
    assert "ValueError" in caplog.text


def test_a_device_that_only_fails_is_taken_for_broken_until_it_answers():
    engine = FakeEngine(failure=RuntimeError("CUDA error"))
    with queue_of(engine) as queue:
        told: list[bool] = []
        queue.on_broken = lambda: told.append(True)
        for _ in range(FAULTS):
            queue.require_device()
            with pytest.raises(EngineFault):
                ask(queue, 1).result(10)
        with pytest.raises(EngineUnavailable, match="3 times in a row"):
            queue.require_device()
        assert told == [True]
        engine._failure = None
        ask(queue, 1).result(10)
        queue.require_device()


class PickyEngine(FakeEngine):
    """Has a fault of its own for every volume but air."""

    def report(self, model_input: ModelInput, sampling: Sampling = GREEDY, **how: Any) -> Any:
        if model_input.pixels.any():
            raise TypeError("TextEncodeInput must be str")
        return super().report(model_input, sampling, **how)


def fail(queue: DeviceQueue, seeds: Sequence[int]) -> None:
    for seed in seeds:
        with pytest.raises(EngineFault):
            ask(queue, seed).result(10)


def test_faults_that_only_some_inputs_meet_leave_the_device_in_service():
    with queue_of(PickyEngine()) as queue:
        fail(queue, range(1, 3 * FAULTS))
        queue.require_device()


def test_one_request_that_is_sent_again_and_again_breaks_nothing():
    with queue_of(FakeEngine(failure=TypeError("always"))) as queue:
        fail(queue, [1] * 3 * FAULTS)
        queue.require_device()


def test_a_fault_of_different_requests_and_of_air_is_the_engines_own():
    with queue_of(FakeEngine(failure=TypeError("always"))) as queue:
        told: list[bool] = []
        queue.on_broken = lambda: told.append(True)
        fail(queue, range(FAULTS))
        with pytest.raises(EngineUnavailable, match=r"whatever it is asked: TypeError at fake.py"):
            queue.require_device()
        assert told == [True]


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.AcceleratorError("device-side assert triggered"), True),
        (RuntimeError("shape '[3]' is invalid for input of size 4"), False),
        (TypeError("CUDA"), False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), False),
    ],
)
def test_an_accelerators_own_errors_are_told_from_others(error: Exception, is_one: bool):
    assert is_device_error(error) is is_one


def test_an_input_at_fault_does_not_make_a_device_broken():
    with queue_of(FakeEngine(failure=EngineError("another recipe"))) as queue:
        for _ in range(FAULTS):
            with pytest.raises(EngineError):
                ask(queue, 1).result(10)
        queue.require_device()


def test_what_waits_when_it_closes_is_refused_and_what_runs_is_finished(queue, engine):
    running = ask(queue, 0)
    assert engine.begun.wait(10)
    waiting = ask(queue, 1)
    queue.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        waiting.result(10)
    with pytest.raises(EngineUnavailable, match="shutting down"):
        ask(queue, 2)
    engine.go.set()
    assert running.result(10).text == expected(0)
