"""Wakes whoever waits for work: rung in a transaction that makes some, heard once it is committed.

PostgreSQL notifies its listeners. With SQLite every listener has a named pipe beside the database.
A bell that is not heard costs a pause, no more: who waits looks from time to time anyway.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from plugin.state.files.private import PRIVATE_FILE, make_private

LOGGER = logging.getLogger(__name__)
FOLDER = "bells"
_CHANNEL = "ctscribe"
# What a session remembers of a ring until its transaction ends: the folder of the pipes
_RUNG = "bell"
# Whoever waits sees so soon that the process ends
_STOP_S = 0.2
# A listener looks so often whether it is closed
_LISTEN_S = 0.5
# The database is away: until it is back, waiting ends by time alone
_AGAIN_S = 5.0


Wait = Callable[[threading.Event, float], object]
"""Waits until an event is set or some seconds are over, or there may be something to do."""


def ring(session: Session) -> None:
    """Wake all that wait, of every process, when the caller's transaction is committed."""
    if _RUNG in session.info:
        return
    engine, session.info[_RUNG] = session.get_bind(), None
    if engine.dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {_CHANNEL}"))
    else:
        session.info[_RUNG] = _folder(engine.engine)


@event.listens_for(Session, "after_commit")
def _ring_committed(session: Session) -> None:
    folder = session.info.pop(_RUNG, None)
    if folder is not None:
        _ring_pipes(folder)


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_RUNG, None)


class Bell:
    """What the threads of a process wait with.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the service's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rung = threading.Condition()
        self._rings = 0
        self._heard: dict[int, int] = {}
        self._closed = threading.Event()
        folder = _folder(engine)
        listen: Callable[[], None] = self._listen_to_postgres
        if engine.dialect.name == "sqlite":
            listen = (lambda: None) if folder is None else self._opened_pipe(folder)
        self._thread = threading.Thread(target=listen, name="bell", daemon=True)
        self._thread.start()

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """Wait until the bell rings, `stop` is set, or some seconds are over.

        A ring since this thread waited the last time counts: what it announced may have come after
        the thread had looked.
        """
        me, waited = threading.get_ident(), 0.0
        with self._rung:
            while self._heard.get(me, 0) == self._rings and waited < seconds and not stop.is_set():
                piece = min(_STOP_S, seconds - waited)
                self._rung.wait(piece)
                waited += piece
            self._heard[me] = self._rings

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _ring(self) -> None:
        with self._rung:
            self._rings += 1
            self._rung.notify_all()

    def _listen_to_postgres(self) -> None:
        while not self._closed.is_set():
            try:
                self._hear_notifications()
            except Exception as error:  # noqa: BLE001  the driver's errors are those of an extra
                LOGGER.debug("the bell is not heard: %s", type(error).__name__)
                self._closed.wait(_AGAIN_S)

    def _hear_notifications(self) -> None:
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # it listens for ever, which the pool's others do not
            connection.execute(text(f"LISTEN {_CHANNEL}"))
            self._ring()  # nobody knows what was rung before
            driver: Any = connection.connection.dbapi_connection
            while not self._closed.is_set():
                for _ in driver.notifies(timeout=_LISTEN_S, stop_after=1):
                    self._ring()

    def _opened_pipe(self, folder: Path) -> Callable[[], None]:
        make_private(folder)
        begun = folder / uuid.uuid4().hex
        os.mkfifo(begun, PRIVATE_FILE)
        # For writing as well: else reading ends whenever a ringer closes its end
        pipe = os.open(begun, os.O_RDWR | os.O_NONBLOCK)
        # Named once it is open: a pipe that nobody has open is taken for a dead process's
        path = begun.rename(begun.with_suffix(".bell"))
        return lambda: self._hear_pipe(path, pipe)

    def _hear_pipe(self, path: Path, pipe: int) -> None:
        try:
            while not self._closed.is_set():
                if select.select([pipe], [], [], _LISTEN_S)[0]:
                    os.read(pipe, 4096)
                    self._ring()
        finally:
            path.unlink(missing_ok=True)
            os.close(pipe)


def _folder(engine: Engine) -> Path | None:
    """Where the pipes are; none for a database in memory."""
    name = engine.url.database
    return None if not name or name == ":memory:" else Path(name).parent / FOLDER


def _ring_pipes(folder: Path) -> None:
    for path in folder.glob("*.bell"):
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody listens: its process was killed
            path.unlink(missing_ok=True)
            continue
        with suppress(OSError):  # a full pipe: it has been rung
            os.write(pipe, b"!")
        os.close(pipe)
