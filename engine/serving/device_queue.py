"""One device and many callers: calls wait in line, and reports that wait are drafted together."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dicom_io.errors import CtscribeError, EngineFault, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput
from engine.protocol import AS_TRAINED, Generation, ReportEngine, Sampling

LOGGER = logging.getLogger(__name__)
REMEMBERED = 64
"""Answers that are kept for callers who lost theirs on the way and ask again."""
FAULTS = 3
"""After so many of the device's own errors in a row, and no answer, it is taken for broken: CUDA
does not recover from some faults within a process. So it is after any other fault that so many
different requests met at one place, if an input that is known to be good meets one, too."""

# How torch's errors of CUDA and its libraries begin or name themselves. By text, as torch gives
# RuntimeError for most of them, and this module serves engines without torch as well
_OF_DEVICE = ("CUDA", "CUBLAS", "CUDNN", "NCCL", "HIP error", "cuBLAS", "cuDNN")

_CLOSING = "the engine is shutting down"

Observe = Callable[[Sequence[Any], float], None]


@dataclass(eq=False)
class _Call:
    """What one caller waits for: a report that may share a batch, or anything else alone.

    `about` tells different requests apart. What has a moment `until` (by `time.monotonic`) comes
    after all that has none, until that moment.
    """

    run: Callable[[], Any]
    model_input: ModelInput | None = None
    sampling: Sampling | None = None
    about: object = None
    until: float | None = None
    future: Future[Any] = field(default_factory=Future)


class DeviceQueue:
    """Runs an engine's calls in threads of its own, as many at a time as the engine takes.

    Callers are told apart by what they ask, not by who they are: two equal calls get one answer,
    even if the second comes some time after the first (an engine's answers are deterministic).

    Parameters
    ----------
    engine : ReportEngine
        Used by `at_once` threads at a time.
    batch : int
        How many reports may be drafted together.
    observe : callable
        Told after every run its answers, and the seconds they took.
    at_once : int
        How many runs there are at the same time.
    """

    def __init__(self, engine: ReportEngine, *, batch: int, observe: Observe, at_once: int = 1):
        self._engine = engine
        self._batch = batch
        self._observe = observe
        self._line: deque[_Call] = deque()
        self._known: OrderedDict[str, Future[Any]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._device_errors = 0
        self._faults: dict[str, set[object]] = {}
        self._broken = ""
        self.on_broken: Callable[[], None] = lambda: None
        """Told when the device fails so often in a row that it is taken for broken."""
        self.seconds = 1.0
        """How long the last run took."""
        for _ in range(at_once):
            threading.Thread(target=self._work, name="device", daemon=True).start()

    def require_device(self) -> None:
        """Raise `EngineUnavailable` if the device only fails; a new process may cure it."""
        if self._broken:
            raise EngineUnavailable(self._broken)

    def report(self, key: str, model_input: ModelInput, sampling: Sampling) -> Future[Generation]:
        """Draft a report, in one batch with others that wait and share its `sampling`.

        Parameters
        ----------
        key : str
            What is asked: who asks the same gets the same answer.
        model_input : ModelInput
            The volume.
        sampling : Sampling
            How its tokens are chosen.
        """
        run = partial(self._engine.report, model_input, sampling)
        return self._enter(key, _Call(run, model_input, sampling, key))

    def call(self, key: str, run: Callable[[], Any], *, shared: bool = True) -> Future[Any]:
        """Run something alone.

        Parameters
        ----------
        key : str
            What is asked.
        run : callable
        shared : bool
            Whether another caller who asks the same gets the same answer.
        """
        return self._enter(key if shared else None, _Call(run, about=key))

    def aside(self, key: str, run: Callable[[float], Any], within_s: float) -> Future[Any]:
        """Run something alone once nothing else waits; whoever cancels it takes it out of line.

        Parameters
        ----------
        key : str
            What is asked.
        run : callable
            Told how many seconds are left; none when others needed the device for all of them.
        within_s : float
            How long it may wait and run.
        """
        until = time.monotonic() + within_s
        left = partial(_left, until)
        return self._enter(None, _Call(lambda: run(left()), about=key, until=until))

    def close(self) -> None:
        """Take no more calls, and refuse those that still wait in line."""
        with self._changed:
            self._closed = True
            refused = [*self._line]
            self._line.clear()
            self._changed.notify_all()
        for call in filter(_begins, refused):
            call.future.set_exception(EngineUnavailable(_CLOSING))

    def _enter(self, key: str | None, call: _Call) -> Future[Any]:
        if call.until is None:  # nobody may cancel it: others may wait for the same answer
            call.future.set_running_or_notify_cancel()
        with self._changed:
            if self._closed:
                raise EngineUnavailable(_CLOSING)
            if key is not None:
                if key in self._known:
                    self._known.move_to_end(key)
                    return self._known[key]
                self._remember(key, call.future)
            self._line.append(call)
            self._changed.notify()
        return call.future

    def _remember(self, key: str, future: Future[Any]) -> None:
        self._known[key] = future
        for old in [old for old, answer in self._known.items() if answer.done()][:-REMEMBERED]:
            del self._known[old]
        future.add_done_callback(lambda done: self._forget_failure(key, done))

    def _forget_failure(self, key: str, done: Future[Any]) -> None:
        if done.exception() is not None:
            with self._changed:
                self._known.pop(key, None)

    def _work(self) -> None:
        while calls := self._next():
            if begun := [*filter(_begins, calls)]:
                self._serve(begun)

    def _next(self) -> list[_Call]:
        """Wait for a call, and take those along that can be served with it; none: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._closed)
            if not self._line:
                return []
            first = self._first()
            self._line.remove(first)
            alike = [
                other
                for other in self._line
                if first.sampling is not None and other.sampling == first.sampling
            ]
            companions = alike[: self._batch - 1]
            for companion in companions:
                self._line.remove(companion)
            return [first, *companions]

    def _first(self) -> _Call:
        now = time.monotonic()
        urgent = (call for call in self._line if call.until is None or call.until <= now)
        return next(urgent, self._line[0])

    def _serve(self, calls: Sequence[_Call]) -> None:
        started = time.monotonic()
        try:
            answers = self._answers(calls)
        except Exception as error:  # noqa: BLE001  the device's thread outlives every fault
            if len(calls) > 1:  # one of them, or their number, is at fault: the others are not
                for call in calls:
                    self._serve([call])
                return
            calls[0].future.set_exception(self._judged(error, calls[0].about))
            return
        self._device_errors, self._broken = 0, ""
        self._faults.clear()
        self.seconds = time.monotonic() - started
        self._observe(answers, self.seconds)
        for call, answer in zip(calls, answers, strict=True):
            call.future.set_result(answer)

    def _answers(self, calls: Sequence[_Call]) -> Sequence[Any]:
        if len(calls) == 1:
            return [calls[0].run()]
        inputs = [call.model_input for call in calls if call.model_input is not None]
        return self._engine.report_batch(inputs, calls[0].sampling or AS_TRAINED)

    def _judged(self, error: Exception, about: object) -> CtscribeError:
        """Name a fault of ours by class and place: its text may hold what the caller asked."""
        if isinstance(error, CtscribeError):
            return error
        trace = error.__traceback__
        frame = traceback.extract_tb(trace)[-1]
        fault = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        LOGGER.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(trace)))
        self._note(fault, about, of_device=is_device_error(error))
        return EngineFault(f"the engine failed: {fault}")

    def _note(self, fault: str, about: object, *, of_device: bool) -> None:
        if of_device:
            self._device_errors += 1
            if self._device_errors >= FAULTS:
                self._give_up(f"the device failed {self._device_errors} times in a row")
            return
        met = self._faults.setdefault(fault, set())
        met.add(about)
        if len(met) >= FAULTS:
            self._faults.clear()
            if not self._writes():
                self._give_up(f"the engine fails whatever it is asked: {fault}")

    def _writes(self) -> bool:
        """Whether a volume of air, which is nobody's, is answered in whatever way."""
        spec = self._engine.preprocess
        air = ModelInput(np.zeros((1, *spec.size), np.float32), spec, np.eye(4), ())
        try:
            self._engine.report(air, Sampling(max_new_tokens=1))
        except CtscribeError:
            pass
        except Exception:  # noqa: BLE001  whatever it is, the engine does not work
            return False
        return True

    def _give_up(self, reason: str) -> None:
        self._broken = reason
        self.on_broken()


def _begins(call: _Call) -> bool:
    """Whether a call is to run: nobody has cancelled it, and nobody can any more."""
    return call.future.running() or call.future.set_running_or_notify_cancel()


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def is_device_error(error: Exception) -> bool:
    """Whether an accelerator failed, and not the code that ran on it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    said = str(error)
    return "AcceleratorError" in kinds or (
        "RuntimeError" in kinds and any(word in said for word in _OF_DEVICE)
    )
