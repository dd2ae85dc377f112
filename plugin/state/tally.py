"""Counters of all processes: added up in memory, and every few seconds in the database.

So one place knows them all, on whatever host a process runs, and however often it is started. A
killed process loses what it counted in these seconds, and nothing else.
"""

from __future__ import annotations

import json
import logging
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from sqlalchemy import Connection, Float, String, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from plugin.state.background import in_background
from plugin.state.columns import Base
from plugin.state.database import SessionFactory, reason_of

LOGGER = logging.getLogger(__name__)
# Prometheus asks every 15 s or less often
FLUSH_S = 5.0
# From a header that is read to a large model on a busy CPU
BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


class Count(Base):
    """A counter that all processes of the service add to."""

    __tablename__ = "counts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    # JSON, with sorted keys
    labels: Mapped[str] = mapped_column(String(250), primary_key=True)
    value: Mapped[float] = mapped_column(Float)


_TABLE = Count.metadata.tables["counts"]
_Key = tuple[str, str]


class Counted(StrEnum):
    """What is counted; docs/monitoring.md says what each means, with its labels."""

    INSTANCES = "instances"
    BYTES = "received_bytes"
    REFUSALS = "refusals"
    EVENTS = "events"
    DRAFTS = "drafts"
    DELIVERIES = "deliveries"


class Timed(StrEnum):
    """What is timed, in seconds."""

    STEP = "draft_step_seconds"
    WAIT = "queue_wait_seconds"


class Tally:
    """What a process has counted and not written yet; may be shared between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[_Key, float] = defaultdict(float)

    def count(self, what: Counted, amount: float = 1, **labels: str) -> None:
        """Add to a counter.

        Parameters
        ----------
        what : Counted
            The counter.
        amount : float
            How much.
        **labels : str
            Which one of its name; never anything that comes from a study.
        """
        self._add({(what, _written(labels)): amount})

    def observe(self, what: Timed, seconds: float, **labels: str) -> None:
        """Add a duration to a histogram.

        Parameters
        ----------
        what : Timed
            The histogram.
        seconds : float
            The duration; a clock that was set back makes it 0.
        **labels : str
            As those of a counter.
        """
        seconds = max(0.0, seconds)
        index = bisect_left(BUCKETS_S, seconds)
        bound = str(BUCKETS_S[index]) if index < len(BUCKETS_S) else "+Inf"
        own = _written(labels)
        self._add({(f"{what}_sum", own): seconds, (what, _written({**labels, "le": bound})): 1})

    def flush(self, sessions: SessionFactory) -> None:
        """Add all to the database; what it does not take is kept for the next time.

        Raises
        ------
        DBAPIError
            The database does not take it.
        """
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
        if not counts:
            return
        try:
            with sessions.begin() as session:
                # In one order everywhere: two processes must not wait for one another
                for key, amount in sorted(counts.items()):
                    _add_to_row(session.connection(), key, amount)
        except BaseException:
            self._add(counts)
            raise

    def _add(self, counts: dict[_Key, float]) -> None:
        with self._lock:
            for key, amount in counts.items():
                self._counts[key] += amount


TALLY = Tally()
"""The tally of this process."""


@contextmanager
def counting(
    sessions: SessionFactory,
    tally: Tally = TALLY,
    *others: Callable[[SessionFactory], None],
) -> Iterator[None]:
    """Write down what is counted, again and again, for the length of a `with` block.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    tally : Tally
        What was counted.
    *others : callable
        Write down what else was counted.
    """

    def flush() -> None:
        try:
            for write in (tally.flush, *others):
                write(sessions)
        except DBAPIError as error:  # others say so louder
            LOGGER.debug("counters are not written: %s", reason_of(error))

    def flush_until(ended: threading.Event) -> None:
        while not ended.wait(FLUSH_S):
            flush()

    try:
        with in_background(("counters", flush_until)):
            yield
    finally:
        flush()


def _add_to_row(connection: Connection, key: _Key, amount: float) -> None:
    name, labels = key
    same = (_TABLE.c.name == name) & (_TABLE.c.labels == labels)
    more = update(_TABLE).where(same).values(value=_TABLE.c.value + amount)
    if connection.execute(more).rowcount:
        return
    # Two processes may insert it at once: one fails, and adds its counts the next time
    connection.execute(insert(_TABLE).values(name=name, labels=labels, value=amount))


def counts(sessions: SessionFactory) -> list[tuple[str, dict[str, str], float]]:
    """Return name, labels and value of all that was ever counted."""
    with sessions() as session:
        rows = session.execute(select(_TABLE.c.name, _TABLE.c.labels, _TABLE.c.value)).all()
    return [(name, json.loads(labels), value) for name, labels, value in rows]


def _written(labels: dict[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)
