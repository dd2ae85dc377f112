"""The audit trail on its way to an audit repository: in order, each entry at least once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_io.errors import PeerUnreachable
from plugin.state.audit import AuditForwarding, AuditRow, Outcome
from plugin.state.clock import doubled
from plugin.state.database import SessionFactory
from plugin.upkeep.audit.message import Source, audit_message
from plugin.upkeep.syslog import AUDIT_FACILITY, Severity, SyslogReceiver, syslog_message

# PS3.15 A.6: how a repository tells audit messages from others
_MESSAGE_ID = "DICOM+RFC3881"
_SEVERITY = {
    Outcome.SUCCESS: Severity.NOTICE,
    Outcome.MINOR_FAILURE: Severity.WARNING,
    Outcome.SERIOUS_FAILURE: Severity.ERROR,
    Outcome.MAJOR_FAILURE: Severity.CRITICAL,
}
# About 400 KB: read within seconds, and little is sent twice after a lost connection
BATCH = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
# Whoever claimed a batch and says nothing for so long, beyond the time limit, has died
_CLAIM_S = 60.0


@dataclass(frozen=True)
class _Batch:
    position: int
    """Of the newest entry that the repository had before."""
    rows: Sequence[AuditRow]


@dataclass(frozen=True)
class AuditForwarder:
    """Sends the trail to one repository.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    repository : str
        Its name in the settings.
    receiver : SyslogReceiver
        Where it listens.
    source : Source
        How the service names itself.
    now : callable
        The clock.
    """

    sessions: SessionFactory
    repository: str
    receiver: SyslogReceiver
    source: Source
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def forward(self) -> None:
        """Send what the repository does not have, until it has all or does not answer.

        Raises
        ------
        PeerUnreachable
            It does not answer; it is tried again after a pause, which this remembers.
        """
        while (batch := self._claim()) is not None:
            try:
                self.receiver.send([self._written(row) for row in batch.rows])
            except PeerUnreachable as error:
                self._postpone(str(error))
                raise
            self._advance(batch)

    def _written(self, row: AuditRow) -> bytes:
        entry = row.entry
        return syslog_message(
            audit_message(entry, row.time, self.source),
            time=row.time,
            severity=_SEVERITY[entry.outcome],
            facility=AUDIT_FACILITY,
            message_id=_MESSAGE_ID,
        )

    def _claim(self) -> _Batch | None:
        """Take the next entries, for nobody else until they are sent or the claim is over."""
        now = self.now()
        with self.sessions.begin() as session:
            at = self._row(session)
            if at.not_before > now:
                return None
            newer = select(AuditRow).where(AuditRow.position > at.position)
            rows = session.scalars(newer.order_by(AuditRow.position).limit(BATCH)).all()
            if not rows:
                return None
            at.not_before = now + timedelta(seconds=self.receiver.timeout_s + _CLAIM_S)
            return _Batch(at.position, rows)

    def _row(self, session: Session) -> AuditForwarding:
        found = select(AuditForwarding).where(AuditForwarding.repository == self.repository)
        row = session.scalar(found.with_for_update())
        if row is None:
            row = AuditForwarding(repository=self.repository, not_before=self.now())
            session.add(row)
            session.flush()
        return row

    def _advance(self, batch: _Batch) -> None:
        last = batch.rows[-1]
        ours = AuditForwarding.repository == self.repository
        with self.sessions.begin() as session:
            session.execute(
                update(AuditForwarding)
                .where(ours, AuditForwarding.position == batch.position)
                .values(
                    position=last.position,
                    hash=last.hash,
                    not_before=self.now(),
                    attempts=0,
                    away_since=None,
                    last_error=None,
                )
            )

    def _postpone(self, reason: str) -> None:
        with self.sessions.begin() as session:
            at = self._row(session)
            pause_s = doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, at.attempts)
            at.not_before = self.now() + timedelta(seconds=pause_s)
            at.attempts += 1
            at.away_since = at.away_since or self.now()
            at.last_error = reason
