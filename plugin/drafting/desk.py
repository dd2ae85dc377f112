"""What the threads of one worker share: one of them reads or writes files while engines work.

A study is claimed, read and recorded at the desk, by one thread at a time. Its thread leaves the
desk while the engine writes, and another one takes the next study. So an engine gets several
requests, and never waits for a study to be read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class Desk:
    """The desk of a worker's threads.

    Parameters
    ----------
    expect : callable
        Told within how many seconds it will be called again; the process hangs as soon as one of
        its threads does.
    """

    def __init__(self, expect: Callable[[float], None] = lambda _: None) -> None:
        self._expect = expect
        self._free = threading.Condition(threading.Lock())
        self._in_hand = 0
        self._alone = False
        self._promises: dict[int, float] = {}

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Sit at the desk for the length of a `with` block, which looks for work in `seconds`."""
        with self._free:
            self._free.wait_for(lambda: not self._alone)
            self.promise(seconds)
            try:
                yield
            finally:
                # Who waits, for work or for the desk, does not hang
                self._promises.pop(threading.get_ident(), None)

    @contextmanager
    def in_hand(self, *, alone: bool, seconds: float) -> Iterator[None]:
        """Work on a study from the desk for the length of a `with` block.

        Parameters
        ----------
        alone : bool
            Whether all others are finished first, and none is begun meanwhile.
        seconds : float
            Who takes longer hangs.
        """
        self.promise(seconds)
        try:
            if alone:
                self._alone = True
                self._free.wait_for(lambda: self._in_hand == 0)
                self.promise(seconds)
            self._in_hand += 1
            try:
                yield
            finally:
                self._in_hand -= 1
        finally:
            self._alone = self._alone and not alone
            self._free.notify_all()

    @contextmanager
    def left_for(self, turn: AbstractContextManager[object]) -> Iterator[None]:
        """Leave the desk to others for the length of a `with` block, and wait for one's turn."""
        self._free.release()
        try:
            with turn:
                yield
        finally:
            self._free.acquire()

    def promise(self, seconds: float) -> None:
        """Say within how many seconds this thread is heard of again."""
        now = time.monotonic()
        self._promises[threading.get_ident()] = now + seconds
        self._expect(min(self._promises.values()) - now)
