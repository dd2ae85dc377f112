"""Receiver and worker as processes of their own, with a model that takes no time, to be killed."""

from __future__ import annotations

import hashlib
import logging
import random
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dicom_io.archives.dimse import Dimse
from plugin.delivery.delivery import delivering
from plugin.delivery.destinations import Destination
from plugin.delivery.outbox import Outbox
from plugin.drafting.desk import Desk
from plugin.drafting.worker import Worker
from plugin.drafting.writing.confidence import Confidence
from plugin.drafting.writing.heat import Heat
from plugin.reception.receiver import run_receiver
from plugin.state import watch
from plugin.state.completeness import Patience
from plugin.state.database import open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.watch import Watch
from plugin.supervisor import stop_on_signals

PATIENCE = Patience.of_seconds(1.0, 600.0)
# Minutes of waiting for the dead: a receiver beats every 5 s, and to store here takes no second
watch.STALE_S = 10.0
CLAIM_S = 5.0


@dataclass(frozen=True)
class TinyDraft:
    """The least that a worker takes for a report."""

    sr: Dataset
    selected_digest: str
    state: str = "complete"
    selection: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    embedding: bytes = b""
    heat: tuple[Heat, ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    beside: tuple[Dataset, ...] = ()

    @property
    def series_instance_uid(self) -> str:
        return str(self.sr.SeriesInstanceUID)


def selected(paths: Sequence[Path]) -> str:
    uids = sorted(path.name.split("-")[0] for path in paths)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()


def make_report(
    paths: Sequence[Path], *, desk: Desk, unless: str | None, **_: Any
) -> TinyDraft | None:
    if selected(paths) == unless:
        return None
    source = dcmread(paths[0], stop_before_pixels=True)
    sr = Dataset()
    sr.file_meta = source.file_meta
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SpecificCharacterSet"):
        sr[keyword] = source[keyword]
    sr.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    sr.SOPInstanceUID, sr.SeriesInstanceUID = generate_uid(), generate_uid()
    sr.file_meta.MediaStorageSOPClassUID = sr.SOPClassUID
    sr.file_meta.MediaStorageSOPInstanceUID = sr.SOPInstanceUID
    sr.Modality = "SR"
    with desk.left_for(nullcontext()):
        time.sleep(random.uniform(0, 0.3))
    return TinyDraft(sr, selected(paths))


def receive(url: str, folder: Path, port: int) -> None:
    sessions = session_factory(open_database(url))
    stop = stop_on_signals()
    run_receiver(sessions, Spool(folder), stop, port=port, patience=PATIENCE)


def work(url: str, folder: Path, port: int) -> None:
    sessions, spool = session_factory(open_database(url)), Spool(folder)
    stop = stop_on_signals()
    watch = Watch(PATIENCE, lease_s=3.0)
    desk = Desk()
    worker = Worker(
        sessions,
        spool,
        partial(make_report, desk=desk),
        {"pacs": "dimse"},
        attempts=1000,
        watch=watch,
        studies=3,
        desk=desk,
    )
    pacs = Destination("pacs", Dimse("127.0.0.1", port, "ARCHIVE"), claim_s=CLAIM_S)
    with delivering(Outbox(sessions, spool.root), [pacs], 0.2):
        worker.run(stop, poll_s=0.2)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for library in ("pynetdicom", "alembic"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    {"receive": receive, "work": work}[sys.argv[1]](
        sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    )
