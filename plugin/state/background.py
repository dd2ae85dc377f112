"""What runs beside a process's work, for as long as that goes on."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from threading import Event, Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# A third of the processor time of the others, where all want all of it
_BEHIND = 5


def step_back() -> None:
    """Let this thread, and those that it starts, run behind what somebody waits for."""
    os.nice(_BEHIND)  # with Linux, of the thread alone


def settle_in() -> None:
    """Have Python's collector pass over all that is loaded by now, which stays.

    To look through it takes a tenth of a second, in which a sender waits for each of the threads,
    or others for a transaction.
    """
    gc.collect()
    gc.freeze()


class Aside:
    """Threads that step back, for what computes long.

    No transaction belongs there: whoever writes to the database keeps others from it, for as long
    as it waits for a processor.

    Parameters
    ----------
    threads : int
        How much is computed at the same time.
    """

    def __init__(self, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(threads, "aside", initializer=step_back)

    def __call__(self, work: Callable[P, T]) -> Callable[P, T]:
        """Return a call that runs there, while its caller waits."""

        @wraps(work)
        def run(*args: P.args, **options: P.kwargs) -> T:
            return self._pool.submit(work, *args, **options).result()

        return run

    def close(self) -> None:
        """End the threads, once nothing is computed any more."""
        self._pool.shutdown()


@contextmanager
def in_background(*runs: tuple[str, Callable[[Event], object]]) -> Iterator[None]:
    """Run each in a thread of its own for the length of a `with` block, and wait for their ends.

    Parameters
    ----------
    *runs : (str, callable)
        What the thread is called, and what it does until the event that it is given is set.
    """
    ended = Event()
    threads = [Thread(target=run, args=(ended,), name=name, daemon=True) for name, run in runs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
