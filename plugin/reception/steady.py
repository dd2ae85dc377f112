"""The usual group: more slices of studies, series and associations that the receiver knows.

Three statements, given to the driver itself: around them the ORM takes several times as long as the
database. Whatever is not usual is left to `plugin.reception.intake`, which can record all there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.engine.interfaces import DBAPICursor

from plugin.reception.intake import ADD_UNLESS_KNOWN, Arrival, Cache, row_of
from plugin.state.clock import now_at
from plugin.state.completeness import MOVE_JOB, Patience, deadlines
from plugin.state.database import begin_writing
from plugin.state.studies import LOCK_STUDY


class Steady:
    """Records usual groups over a connection of its own; for one thread.

    Parameters
    ----------
    engine : Engine
        Of the service's database.
    patience : Patience
        How long more of a study is waited for.
    cache : Cache
        What is known to stand in the database.
    """

    def __init__(self, engine: Engine, patience: Patience, cache: Cache) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._patience = patience
        self._cache = cache
        self._connection: PoolProxiedConnection | None = None

    def record(self, arrivals: Sequence[Arrival]) -> bool:
        """Record and commit new slices; False, with nothing recorded, if that takes more."""
        if not all(map(_is_usual, arrivals)):
            return False
        try:
            return self._try(arrivals)
        except self._driver_error:
            # Whether it was committed or not, `intake` finds out, or meets the same fault
            self.close()
            return False

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._driver_error):
                connection.invalidate()

    @property
    def _driver_error(self) -> type[Exception]:
        return self._dialect.loaded_dbapi.Error

    def _try(self, arrivals: Sequence[Arrival]) -> bool:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        cursor = self._connection.cursor()
        try:
            if self._dialect.name == "sqlite":
                begin_writing(self._connection)
            done = self._write(cursor, arrivals, now_at(cursor, self._dialect))
            self._connection.commit() if done else self._connection.rollback()
            return done
        finally:
            cursor.close()

    def _write(self, cursor: DBAPICursor, arrivals: Sequence[Arrival], now: datetime) -> bool:
        # In the order in which everybody locks studies
        in_order = sorted(arrivals, key=_study_of)
        return all(
            self._write_study(cursor, uid, own, now) for uid, own in groupby(in_order, _study_of)
        )

    def _write_study(
        self, cursor: DBAPICursor, uid: str, arrivals: Iterable[Arrival], now: datetime
    ) -> bool:
        cursor.execute(*LOCK_STUDY.ready(self._dialect, {"uid": uid, "now": now}))
        locked = cursor.fetchone()
        if locked is None:
            return False
        study_id, quiet_s = locked
        written = all(self._write_slice(cursor, study_id, arrival, now) for arrival in arrivals)
        return written and self._wait(cursor, study_id, quiet_s, now)

    def _write_slice(
        self, cursor: DBAPICursor, study_id: int, arrival: Arrival, now: datetime
    ) -> bool:
        series_id = self._cache.series.get((study_id, arrival.header.series_instance_uid))
        if series_id is None or (study_id, arrival.association) not in self._cache.holds:
            return False
        row = row_of(arrival, study_id, series_id, now)
        cursor.execute(*ADD_UNLESS_KNOWN.ready(self._dialect, row))
        return cursor.rowcount == 1

    def _wait(
        self, cursor: DBAPICursor, study_id: int, quiet_s: float | None, now: datetime
    ) -> bool:
        """Move the deadline of the study's pending job; whether there is one."""
        values = deadlines(study_id, self._patience.after(quiet_s), now)
        cursor.execute(*MOVE_JOB.ready(self._dialect, values))
        return cursor.rowcount == 1


def _is_usual(arrival: Arrival) -> bool:
    return arrival.processed and not arrival.redraft and not arrival.announced


def _study_of(arrival: Arrival) -> str:
    return arrival.header.study_instance_uid
