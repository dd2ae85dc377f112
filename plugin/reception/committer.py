"""Group commit: many associations, one transaction, and only then the acknowledgements.

The threads of the associations hand over what they wrote, and wait. The one committer thread takes
whatever waits, commits, and lets them answer. A group waits for those whose files are just being
fsynced, and for nobody else.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import DBAPIError, IntegrityError

from dicom_io.errors import CtscribeError, StoreFull
from plugin.reception import intake
from plugin.reception.intake import Arrival, Cache, Outcome
from plugin.reception.steady import Steady
from plugin.state import completeness
from plugin.state.clock import now_of
from plugin.state.completeness import Patience
from plugin.state.database import BUSY_TIMEOUT_S, SessionFactory, reason_of
from plugin.state.kept.absent import note_absent
from plugin.state.kinds import Kind
from plugin.state.tables import Level
from plugin.state.timeline import add_event

LOGGER = logging.getLogger(__name__)
# Several times the open associations: no instance waits long for the commit of the others'
LARGEST_GROUP = 64
# A transaction costs more than so much of anybody's time, whether it holds one instance or ten
_GATHER_S = 0.003
# A sixth of the time after which a worker takes a receiver for dead: five may be lost
HEARTBEAT_S = 5.0
# Four transactions that each wait for another process as long as they may, and some
_LONGEST_S = 5 * BUSY_TIMEOUT_S
# A full disk refuses every slice of a study: one alert says so
_ALERT_PAUSE_S = 60.0
# Some large studies; a sender that is refused sends again, the drafts only say so meanwhile
MOST_UNNOTED = 10_000
# Two processes that make the same row collide once; more is a fault that no attempt mends
_ATTEMPTS = 5


class _Ticket:
    """What a thread hands over, and where it waits for the outcome."""

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.outcome: Outcome | CtscribeError | None = None
        # Cheaper than an event or a future: one for each slice
        self.settled = threading.Lock()
        self.settled.acquire()

    def settle(self, outcome: Outcome | CtscribeError) -> None:
        self.outcome = outcome
        self.settled.release()


class Committer:
    """The thread that makes arrivals durable, for all associations of one receiver process.

    Parameters
    ----------
    sessions : SessionFactory
        Where instances are recorded.
    patience : Patience
        How long more of a study is waited for.
    open_associations : callable
        Names of the associations that are open now.
    heartbeat_s : float
        How often the holds say that they are alive.
    expect : callable
        Told, again and again, within how many seconds it will be called again.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        *,
        patience: Patience,
        open_associations: Callable[[], Iterable[str]],
        heartbeat_s: float = HEARTBEAT_S,
        expect: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._sessions = sessions
        self._patience = patience
        self._open_associations = open_associations
        self._heartbeat_s = heartbeat_s
        self._expect = expect
        self._arrivals: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._expected = 0
        self._cache = Cache()
        self._steady = Steady(sessions.kw["bind"], patience, self._cache)
        self._last_beat = time.monotonic()
        self._last_alert: dict[Kind, float] = {}
        # What waits for the database: the newest alert of each kind, and who is absent
        self._unwritten: dict[Kind, CtscribeError] = {}
        self._unnoted: deque[tuple[str, str]] = deque(maxlen=MOST_UNNOTED)
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end the thread."""
        self._arrivals.put(None)
        self._thread.join()

    def commit(self, arrival: Arrival) -> Outcome:
        """Wait until the arrival is durable; return what became of it.

        Raises
        ------
        StoreFull
            The database does not take it now; the sender must keep it.
        """
        ticket = _Ticket(arrival)
        self._arrivals.put(ticket)
        ticket.settled.acquire()
        if isinstance(ticket.outcome, CtscribeError):
            raise ticket.outcome
        assert ticket.outcome is not None
        return ticket.outcome

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Have groups wait a little for an arrival that is almost ready to be committed."""
        with self._lock:
            self._expected += 1
        try:
            yield
        finally:
            with self._lock:
                self._expected -= 1

    def association_ended(self, association: str) -> None:
        """Let the studies of an association go, soon."""
        self._ended.put(association)

    def alert(self, kind: Kind, error: CtscribeError) -> bool:
        """Write an alert, once a minute at most of each kind; returns whether it is that time.

        Where none can be written it is logged now and written later.
        """
        now = time.monotonic()
        if now - self._last_alert.get(kind, -_ALERT_PAUSE_S) < _ALERT_PAUSE_S:
            return False
        self._last_alert[kind] = now
        try:
            self._write_alert(kind, error)
        except DBAPIError as problem:
            self._unwritten[kind] = error
            LOGGER.error("%s: %s", kind, error)
            LOGGER.error("the alert could not be recorded: %s", _reason(problem))
        return True

    def _write_alert(self, kind: Kind, error: CtscribeError) -> None:
        with self._sessions.begin() as session:
            add_event(session, kind, str(error), now=now_of(session), level=Level.ALERT)

    def note_absent(self, study: str, sop_instance: str) -> None:
        """Remember that an instance was refused or cut off; validated UIDs.

        While the database is away this is kept in memory: it may be why the instance was refused.
        """
        uids, patience = (study, sop_instance), self._patience
        noted = self._quietly(
            lambda session: note_absent(session, *uids, patience, now_of(session))
        )
        if not noted:
            self._unnoted.append(uids)

    def _run(self) -> None:
        while True:
            self._expect(_LONGEST_S)
            group, last = self._next_group()
            if group:
                self._commit_group(group)
            self._release_ended()
            self._beat()
            if last:
                self._steady.close()
                return

    def _next_group(self) -> tuple[list[_Ticket], bool]:
        """Return all that waits now or is expected, and whether it is the last group."""
        group: list[_Ticket] = []
        try:
            item = self._arrivals.get(timeout=self._time_to_wait())
            ends = time.monotonic() + _GATHER_S
            while item is not None:
                group.append(item)
                if len(group) == LARGEST_GROUP:
                    return group, False
                item = self._arrivals.get(timeout=self._time_to_gather(ends))
        except queue.Empty:
            return group, False
        return group, True

    def _time_to_gather(self, ends: float) -> float:
        return max(0.0, ends - time.monotonic()) if self._expected else 0.0

    def _time_to_wait(self) -> float:
        return 0.2 if not self._ended.empty() else min(0.2, self._heartbeat_s)

    def _commit_group(self, group: list[_Ticket]) -> None:
        arrivals = [ticket.arrival for ticket in group]
        try:
            outcomes = self._record(arrivals)
        except Exception as error:  # noqa: BLE001  whatever it is, the senders wait for an answer
            refusal = StoreFull(f"instances cannot be recorded: {_reason(error)}")
            self.alert(Kind.NOT_RECORDED, refusal)
            for ticket in group:
                ticket.settle(refusal)
            return
        for ticket, outcome in zip(group, outcomes, strict=True):
            ticket.settle(outcome)

    def _record(self, arrivals: list[Arrival]) -> list[Outcome]:
        if self._steady.record(arrivals):
            return [Outcome.NEW] * len(arrivals)
        return record_durably(self._sessions, arrivals, patience=self._patience, cache=self._cache)

    def _release_ended(self) -> None:
        ended = []
        while not self._ended.empty():
            ended.append(self._ended.get())
        if ended:
            self._cache.forget(ended)
            self._quietly(lambda session: completeness.release(session, ended))

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat < self._heartbeat_s:
            return
        self._last_beat = time.monotonic()
        self._write_what_waits()
        open_now = list(self._open_associations())
        if open_now:
            self._quietly(lambda session: completeness.beat(session, open_now, now_of(session)))

    def _write_what_waits(self) -> None:
        """Write what the database did not take when it happened; the next beat tries again."""
        with suppress(DBAPIError):
            for kind, error in list(self._unwritten.items()):
                self._write_alert(kind, error)
                del self._unwritten[kind]
            while self._unnoted:
                with self._sessions.begin() as session:
                    note_absent(session, *self._unnoted[0], self._patience, now_of(session))
                self._unnoted.popleft()

    def _quietly(self, change: Callable[..., None]) -> bool:
        """Change what a failure does not harm: holds go stale, what is absent waits for its turn.

        Returns whether it was written.
        """
        try:
            with self._sessions.begin() as session:
                change(session)
        except DBAPIError as error:
            LOGGER.log(
                logging.DEBUG if self._unnoted else logging.WARNING,
                "holds or absent instances are not recorded: %s",
                _reason(error),
            )
            return False
        return True


def record_durably(
    sessions: SessionFactory,
    arrivals: list[Arrival],
    *,
    patience: Patience,
    cache: Cache,
) -> list[Outcome]:
    """Record and commit; where another process wrote the same rows first, once more.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    arrivals : list of Arrival
        Durable in the spool.
    patience : Patience
        How long more of a study is waited for.
    cache : Cache
        What is known to stand in the database; cleared where a transaction fails.

    Raises
    ------
    DBAPIError
        The database does not take them.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with sessions.begin() as session:
                now = now_of(session)
                return intake.record(session, arrivals, patience=patience, now=now, cache=cache)
        except DBAPIError as error:
            cache.clear()
            if attempt == _ATTEMPTS or not isinstance(error, IntegrityError):
                raise
    raise AssertionError("unreachable")


def _reason(error: Exception) -> str:
    """Name the cause without values of the instance, which may hold an identifier."""
    if isinstance(error, DBAPIError):
        return reason_of(error)
    return str(error) if isinstance(error, OSError) else f"internal error: {type(error).__name__}"
