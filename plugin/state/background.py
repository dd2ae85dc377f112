"""What runs beside a process's work, for as long as that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


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
