"""Looking something up at a system that may be slow: with a time limit, and not again at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

from dicom_io.errors import CtscribeError, PeerUnreachable

T = TypeVar("T")
# A reader who waits for longer has gone on reading; the answer is kept for when they come back
PATIENCE_S = 15.0
# Somebody who goes from tab to tab asks once; what has come meanwhile is seen soon after
_KEPT_S = 120.0
# A person who tries again at once means it, a page that is loaded again does not
_FAILED_S = 5.0
# A system that hangs may hold up so many threads here, and no more
_MOST_AT_ONCE = 4


class _Answer(Generic[T]):
    def __init__(self) -> None:
        self.done = Event()
        self.until = math.inf
        self.value: T | None = None
        self.error: CtscribeError | None = None

    def fill(self, look_up: Callable[[], T]) -> None:
        kept_s = _FAILED_S
        try:
            self.value = look_up()
            kept_s = _KEPT_S
        except CtscribeError as error:
            self.error = error
        finally:
            self.until = time.monotonic() + kept_s
            self.done.set()


class Looking(Generic[T]):
    """Answers of a system, each asked for by one thread, and kept for a while.

    Parameters
    ----------
    patience_s : float
        How long somebody waits; the look-up itself goes on.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lock = Lock()
        self._answers: dict[Hashable, _Answer[T]] = {}

    def get(self, key: Hashable, look_up: Callable[[], T]) -> T:
        """Return an answer that is known, or comes in time.

        Parameters
        ----------
        key : hashable
            What is asked.
        look_up : callable
            Answers it; runs in a thread of its own.

        Raises
        ------
        PeerUnreachable
            It does not come in time, or so much is looked up already.
        CtscribeError
            That of the look-up.
        """
        answer = self._answer(key, look_up)
        if not answer.done.wait(self._patience_s):
            raise PeerUnreachable(f"no answer within {self._patience_s:g} s")
        if answer.value is None:
            raise answer.error or PeerUnreachable("the look-up failed")
        return answer.value

    def _answer(self, key: Hashable, look_up: Callable[[], T]) -> _Answer[T]:
        now = time.monotonic()
        with self._lock:
            self._answers = {k: one for k, one in self._answers.items() if one.until > now}
            if (known := self._answers.get(key)) is not None:
                return known
            if sum(not one.done.is_set() for one in self._answers.values()) >= _MOST_AT_ONCE:
                raise PeerUnreachable("it has not answered others yet")
            answer = self._answers[key] = _Answer()
        # A daemon: the end of the process does not wait for an archive that hangs
        Thread(target=answer.fill, args=(look_up,), name="look-up", daemon=True).start()
        return answer
