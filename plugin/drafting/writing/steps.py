"""The steps from files to a report object, and the time that each takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from plugin.state.tally import TALLY, Timed

READ, CHOOSE, BUILD = "read the files", "choose the series", "build the volume"
PREPARE, WRITE = "prepare the model's input", "let the model write"
REPORT = "make the Structured Report"
_SHORT = {
    READ: "read",
    CHOOSE: "read",  # choosing reads the slices
    BUILD: "build",
    PREPARE: "prepare",
    WRITE: "write",
    REPORT: "report",
}
"""How the histogram calls them."""


@contextmanager
def timed_steps() -> Iterator[Callable[[str], None]]:
    """Time the steps of one draft; yields what is told the name of each as it begins.

    Of a draft that fails, the steps count that were finished.
    """
    step, began = _SHORT[READ], time.perf_counter()

    def begin(name: str) -> None:
        nonlocal step, began
        now = time.perf_counter()
        if _SHORT[name] != step:
            TALLY.observe(Timed.STEP, now - began, step=step)
            step, began = _SHORT[name], now

    yield begin
    TALLY.observe(Timed.STEP, time.perf_counter() - began, step=step)
