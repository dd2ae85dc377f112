"""A year of a hospital in minutes: does the retention hold disk, rows and start-up time?

Studies with tiny slices arrive, are drafted and delivered by the service's own code, on a clock
that jumps from one to the next; once a day the retention has its turn, on a disk of a size that the
studies would fill many times: `python -m bench.year`. The model and the network are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedSRStorage, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import func, select

from plugin.delivery.outbox import Outbox
from plugin.drafting.job_ends import NewDraft, finish_with_draft
from plugin.drafting.jobs import claim_job
from plugin.reception.header import Header
from plugin.reception.intake import Arrival, record
from plugin.reception.sweep import sweep
from plugin.state.audit import AuditRow
from plugin.state.columns import Base
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool, file_head
from plugin.state.tables import DraftState
from plugin.state.watch import Watch
from plugin.upkeep.keeping.limits import Disk, Limit, Limits
from plugin.upkeep.keeping.retention import prune

PATIENCE = Patience.of_seconds(60.0, 3600.0)
PACS = "pacs"


@dataclass
class Hospital:
    """Studies on their way through the service, on a clock of their own.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    now : datetime
        The clock, in UTC.
    slice_bytes : int
        What a slice takes.
    """

    sessions: SessionFactory
    spool: Spool
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    slice_bytes: int = 2000
    _watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self._outbox = Outbox(self.sessions, self.spool.root, lambda *_: self.now)
        self._watch = Watch(PATIENCE, steady=lambda: self.now.timestamp())

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)

    def send(
        self, study: str, slices: int = 3, *, content: bytes = b"", again: bool = False
    ) -> None:
        """Have slices of a study arrive; the same content is the same slice."""
        arrivals = [self._arrival(study, n, content, again) for n in range(1, slices + 1)]
        with self.sessions.begin() as session:
            record(session, arrivals, patience=PATIENCE, now=self.now)
        for arrival in arrivals:
            self.spool.recorded(arrival.path)

    def draft(self, destination: str = PACS) -> int:
        """Draft all that has arrived; returns how many."""
        self.pass_by(seconds=61)
        count = 0
        while claim := claim_job(self.sessions, self._watch, attempts=3, now=self.now):
            sr = _report(claim.study_instance_uid)
            path = self.spool.write_draft(sr)
            uids = str(sr.SOPInstanceUID), str(sr.SeriesInstanceUID)
            draft = NewDraft(*uids, "0" * 64, DraftState.COMPLETE, path, ("read series 1",))
            to = {destination: "dimse"} if destination else {}
            finish_with_draft(self.sessions, claim, draft, destinations=to, now=self.now)
            self.spool.recorded(path)
            count += 1
        return count

    def deliver(self, destination: str = PACS) -> None:
        """Have all drafts sent and proved."""
        while due := self._outbox.claim(destination):
            self._outbox.record_proved(self._outbox.record_sent(due))

    def studies(self, number: int, slices: int = 3) -> list[str]:
        """Have studies arrive, drafted and delivered."""
        uids = [str(generate_uid()) for _ in range(number)]
        for uid in uids:
            self.send(uid, slices)
        self.draft()
        self.deliver()
        return uids

    def _arrival(self, study: str, number: int, content: bytes, again: bool) -> Arrival:
        uid, syntax = f"{study}.1.{number}", str(ExplicitVRLittleEndian)
        data = (f"{uid} ".encode() + content).ljust(self.slice_bytes, b".")
        with closing(
            self.spool.begin_instance(file_head(CTImageStorage, uid, syntax, "CT"))
        ) as file:
            file.write(data)
            path = self.spool.keep_instance(file, study, uid)
            size = file.size
        header = Header(CTImageStorage, uid, study, f"{study}.1", "CT", study[-16:], own=False)
        digest = hashlib.sha256(data).hexdigest()
        return Arrival(header, syntax, path, size, digest, redraft=again)


def _report(study: str) -> Dataset:
    sr = Dataset()
    sr.SOPClassUID, sr.Modality = EnhancedSRStorage, "SR"
    sr.SOPInstanceUID, sr.SeriesInstanceUID = generate_uid(), generate_uid()
    sr.StudyInstanceUID = study
    sr.file_meta = FileMetaDataset()
    sr.file_meta.MediaStorageSOPClassUID = sr.SOPClassUID
    sr.file_meta.MediaStorageSOPInstanceUID = sr.SOPInstanceUID
    sr.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return sr


def files_below(folder: Path) -> tuple[int, int]:
    """Return number and bytes of the files of a spool, without the database."""
    count = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if not name.startswith("ctscribe.db"):
                count, size = count + 1, size + (Path(parent) / name).lstat().st_size
    return count, size


@dataclass(frozen=True)
class Day:
    """What a service is after some days."""

    day: int
    files: int
    spool_mb: float
    rows: int
    database_mb: float
    start_s: float
    entries: int
    """Of the audit trail, among the rows."""


def simulate(
    folder: Path, *, days: int, studies: int, slices: int, limits: Limits, capacity: int, step: int
) -> Iterator[Day]:
    """Let days pass, and say from time to time what has come of it.

    Parameters
    ----------
    folder : Path
        An empty one for the service.
    days, studies, slices : int
        How long, studies a day, slices of a study.
    limits : Limits
        The retention.
    capacity : int
        Bytes of the disk that the service is told it has.
    step : int
        Days from one figure to the next.
    """
    spool = Spool(folder)
    sessions = session_factory(open_database(f"sqlite:///{folder / 'ctscribe.db'}"))
    hospital = Hospital(sessions, spool)

    def disk(root: Path) -> Disk:
        return Disk(capacity, capacity - files_below(root)[1])

    for day in range(1, days + 1):
        morning = hospital.now
        hospital.studies(studies, slices)
        hospital.now = morning + timedelta(days=1)
        while prune(sessions, spool, limits, hospital.now, disk):
            """A day has many turns."""
        if day % step == 0:
            yield _figures(day, folder, sessions)
    sessions.kw["bind"].dispose()


def _figures(day: int, folder: Path, sessions: SessionFactory) -> Day:
    start_s = _start_s(folder)
    files, size = files_below(folder)
    with sessions() as session:
        counted = [select(func.count()).select_from(one) for one in Base.metadata.sorted_tables]
        rows = sum(session.scalar(one) or 0 for one in counted)
        entries = session.scalar(select(func.count()).select_from(AuditRow)) or 0
    database = sum(path.stat().st_size for path in folder.glob("ctscribe.db*"))
    return Day(day, files, size / 1e6, rows, database / 1e6, start_s, entries)


def _start_s(folder: Path) -> float:
    """Seconds that a receiver needs before it listens: its tables and its sweep."""
    began = time.perf_counter()
    engine = open_database(f"sqlite:///{folder / 'ctscribe.db'}")
    sweep(session_factory(engine), Spool(folder), patience=PATIENCE)
    took = time.perf_counter() - began
    engine.dispose()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--studies", type=int, default=200, help="a day")
    parser.add_argument("--slices", type=int, default=3, help="of a study, 2 kB each")
    parser.add_argument("--step", type=int, default=30, help="days from one line to the next")
    parser.add_argument("--folder", type=Path, help="where to work, such as one in memory")
    parser.add_argument("--record", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    a_day = options.studies * options.slices * 2000
    days = timedelta(days=1)
    limits = Limits(
        images=Limit(30 * days, 0.6),
        drafts=Limit(60 * days),
        rows=Limit(90 * days),
        audit=Limit(120 * days),
        high=0.85,
        low=0.75,
    )
    lines = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for one in simulate(
            Path(folder),
            days=options.days,
            studies=options.studies,
            slices=options.slices,
            limits=limits,
            capacity=40 * a_day,
            step=options.step,
        ):
            lines.append(vars(one))
            print(json.dumps(lines[-1]), flush=True)
    if options.record:
        options.record.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
