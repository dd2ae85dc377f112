"""How often somebody may ask: a bucket of tokens each, which time fills up again."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from plugin.web.access.gate import COOKIE
from plugin.web.dicomweb.problems import Refused, refusal_of

# A viewer asks for a whole series at once, and then for little
BURST_S = 10
# Whoever is forgotten begins with a full bucket, as those do who are full again
_MOST_KEPT = 10_000


class Pace:
    """Counts what this process is asked.

    Parameters
    ----------
    a_second : float
        How often each may ask in the long run.
    at_once : float
        How often somebody may ask who has not asked for a while.
    now : callable
        Seconds by a clock that nobody sets.
    """

    def __init__(
        self, a_second: float, at_once: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._a_second = a_second
        self._at_once = at_once
        self._now = now
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def require(self, who: str) -> None:
        """Count a request.

        Raises
        ------
        Refused
            They ask too often.
        """
        with self._lock:
            now = self._now()
            left = self._left_at(now, *self._left.get(who, (self._at_once, now)))
            self._left[who] = (left - 1 if left >= 1 else left), now
            if len(self._left) > _MOST_KEPT:
                self._forget(now)
        if left < 1:
            wait_s = (1 - left) / self._a_second
            error = "too many requests: wait a moment"
            raise Refused(429, "too-many-requests", error, after_s=wait_s)

    def _left_at(self, now: float, left: float, then: float) -> float:
        return min(self._at_once, left + (now - then) * self._a_second)

    def _forget(self, now: float) -> None:
        """Forget whose buckets are full again."""
        kept = self._left.items()
        self._left = {who: one for who, one in kept if self._left_at(now, *one) < self._at_once}


class Paced:
    """Refuses whoever asks too often, before anything is looked up for them.

    Parameters
    ----------
    app : ASGIApp
        What answers everybody else.
    a_second : float
        How often one session or token may ask.
    address_a_second : float
        How often all together may ask who come from one address.
    """

    def __init__(self, app: ASGIApp, a_second: float, address_a_second: float) -> None:
        self._app = app
        self._callers = Pace(a_second, BURST_S * a_second)
        self._addresses = Pace(address_a_second, BURST_S * address_a_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                self._require(HTTPConnection(scope))
        except Refused as refused:
            await refusal_of(refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _require(self, asked: HTTPConnection) -> None:
        secret = asked.headers.get("Authorization") or asked.cookies.get(COOKIE)
        if secret:
            self._callers.require(hashlib.sha256(secret.encode()).hexdigest())
        self._addresses.require(asked.client.host if asked.client else "")
