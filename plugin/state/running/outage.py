"""A database that does not answer: waited for, and told in one line however often it is asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from plugin.state.clock import doubled
from plugin.state.database import open_database, reason_of

LOGGER = logging.getLogger(__name__)
# A server that restarts is back within seconds; one that stays away is asked twice a minute
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A connection to a host that is gone takes so long to fail, several times over
_ASKING_S = 300.0


class Outage:
    """What some threads of a process know together of their database; one line when it changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None

    def met(self, error: DBAPIError) -> None:
        """Tell why the database does not answer, unless that has been told."""
        with self._lock:
            before, self._reason = self._reason, reason_of(error)
            if before is None:
                LOGGER.error("the database does not answer, it is waited for: %s", self._reason)

    def over(self) -> None:
        """Tell that the database answers again, if it did not."""
        with self._lock:
            before, self._reason = self._reason, None
            if before is not None:
                LOGGER.info("the database answers again")


def await_database(
    url: str, stop: threading.Event, expect: Callable[[float], None] = lambda _: None
) -> Engine | None:
    """Open a database, and wait while it is down; None if `stop` was set first.

    Parameters
    ----------
    url : str
        As `open_database` takes it.
    stop : threading.Event
        Ends the wait.
    expect : callable
        Told, again and again, within how many seconds it will be called again.

    Raises
    ------
    ConfigurationError
        As `open_database`.
    """
    outage, tries = Outage(), 0
    while not stop.is_set():
        expect(_ASKING_S + LONGEST_PAUSE_S)
        try:
            engine = open_database(url)
        except OperationalError as error:
            outage.met(error)
            stop.wait(doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, tries))
            tries += 1
        else:
            outage.over()
            return engine
    return None
