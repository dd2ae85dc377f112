"""One look at the database for all readers who ask the same at the same time.

After each change every open list asks anew. Whoever asks while the same is being looked up waits,
and then all who waited share one answer, which began after the last of them had asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
# Filters that readers look through; what is forgotten is only looked up once more
_MOST = 200


class _Answer(Generic[T]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.began = float("-inf")
        self.value: T | None = None


class Shared(Generic[T]):
    """Answers that those share who wait for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, _Answer[T]] = {}

    def get(self, key: Hashable, look_up: Callable[[], T]) -> T:
        """Return an answer that began no earlier than this call.

        Parameters
        ----------
        key : hashable
            What is asked.
        look_up : callable
            Answers it.
        """
        asked = time.monotonic()
        with self._lock:
            if len(self._answers) > _MOST:
                self._answers.clear()
            answer = self._answers.setdefault(key, _Answer())
        with answer.lock:
            if answer.began < asked or answer.value is None:
                began = time.monotonic()
                answer.value = look_up()
                answer.began = began
            return answer.value
