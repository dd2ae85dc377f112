"""How often somebody may try to sign in from one address."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from plugin.web.dicomweb.problems import Refused

# A ward behind one address changes shifts; who guesses names needs thousands
_A_MINUTE = RateLimitItemPerMinute(60)


class Attempts:
    """Counts attempts of this process."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def require(self, address: str) -> None:
        """Refuse an attempt from an address that tries too often.

        Raises
        ------
        Refused
            It does.
        """
        if not self._limiter.hit(_A_MINUTE, address):
            raise Refused(429, "too-many-requests", "too many attempts from here: wait a minute")
