"""The hosts of an engine: a request goes where the fewest wait, and not to one that just failed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import httpx

LOGGER = logging.getLogger(__name__)
# A process that is started again answers within seconds; a host without power is asked twice a
# minute, and each time a request waits for it as long as a connection may take
FIRST_OUT_S = 1.0
LONGEST_OUT_S = 30.0


@dataclass(eq=False)
class Host:
    """One address.

    Parameters
    ----------
    name : str
        How messages call it: the URL without credentials.
    client : httpx.Client
        Its connections.
    """

    name: str
    client: httpx.Client
    waiting: int = 0
    failures: int = 0
    out_until: float = 0.0


class Hosts:
    """The hosts that run the same model; may be shared between threads.

    Parameters
    ----------
    hosts : sequence of Host
        At least one; the first one's model is the model.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.all = tuple(hosts)
        self._lock = threading.Lock()

    def first(self, tried: Collection[Host] = ()) -> Host:
        """Return the first host that was not tried and has not just failed."""
        return min(self._left(tried), key=lambda host: self._is_out(host))

    def take(self, tried: Collection[Host] = ()) -> Host:
        """Return the host where the fewest wait; `give` it back.

        One that has just failed is taken only where all others have failed, too.

        Parameters
        ----------
        tried : collection of Host
            Not these, if there are others.
        """
        with self._lock:
            left = self._left(tried)
            host = min(left, key=lambda host: (self._is_out(host), host.waiting, host.out_until))
            host.waiting += 1
            return host

    def give(self, host: Host) -> None:
        """Say that a request to a host has ended."""
        with self._lock:
            host.waiting -= 1

    def failed(self, host: Host, reason: str, after_s: float = 0.0) -> None:
        """Leave a host out for a while: twice as long every time, up to the longest.

        Parameters
        ----------
        host : Host
            Which.
        reason : str
            For the log.
        after_s : float
            When it says itself that it may be asked again.
        """
        with self._lock:
            pause_s = min(FIRST_OUT_S * 2.0 ** min(host.failures, 10), LONGEST_OUT_S)
            host.out_until = time.monotonic() + (after_s or pause_s)
            host.failures += 1
        if host.failures == 1 and len(self.all) > 1:
            LOGGER.warning("left out for now: %s", reason)

    def answered(self, host: Host) -> None:
        """Say that a host works."""
        with self._lock:
            failures, host.failures, host.out_until = host.failures, 0, 0.0
        if failures and len(self.all) > 1:
            LOGGER.info("%s answers again", host.name)

    def _left(self, tried: Collection[Host]) -> list[Host]:
        return [host for host in self.all if host not in tried] or list(self.all)

    def _is_out(self, host: Host) -> bool:
        return host.out_until > time.monotonic()
