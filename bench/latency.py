"""From the end of the quiet period to the proof in the archive, with the embedded model.

The whole service runs as `ctscribe serve` runs it, with an archive on loopback. Phantom studies are
sent one after the other; times are those of the database: `python -m bench.latency`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import select

from dicom_io.archives.dimse import Dimse
from dicom_io.errors import CtscribeError
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from plugin.assembly import open_sessions
from plugin.commands.demonstration.archive import running_archive
from plugin.settings import Settings, load_settings
from plugin.state.kinds import Kind
from plugin.state.tables import Delivery, Event, Study
from plugin.supervisor import CTSCRIBE
from tests.ports import free_port

ARCHIVE = "ARCHIVE"
LONGEST_S = 120.0
STEPS = {
    "quiet period over, until a worker begins": Kind.BEGUN,
    "begun, until the draft is written": Kind.DRAFTED,
    "written, until it is sent": Kind.SENT,
    "sent, until it is proved": None,
}


def write_settings(
    folder: Path, archive_port: int, quiet_s: float, database: str | None, *, text_alone: bool
) -> Path:
    path = folder / "ctscribe.toml"
    engine = "[engine]\nevidence_s = 0\nconfidence_s = 0\n" if text_alone else ""
    own = f"database = {json.dumps(database)}\n" if database else ""
    path.write_text(
        f"[receiver]\nport = {free_port()}\n[completeness]\nquiet_s = {quiet_s}\n"
        f'[storage]\nspool = "spool"\nfloor_mb = 1\n{own}{engine}'
        f'[[destinations]]\nname = "pacs"\nkind = "dimse"\nhost = "127.0.0.1"\n'
        f'port = {archive_port}\nae_title = "{ARCHIVE}"\n',
        encoding="utf-8",
    )
    return path


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + LONGEST_S
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit(f"nothing for {LONGEST_S:.0f} s: see the service's log")
        time.sleep(0.2)


def answers(receiver: Dimse) -> bool:
    try:
        receiver.check()
    except CtscribeError:
        return False
    return True


def steps_of(settings: Settings, uid: str) -> dict[str, float] | None:
    """Seconds of each step of a study that is proved; None of one that is not."""
    sessions = open_sessions(settings)
    try:
        with sessions() as session:
            study = session.scalar(select(Study).where(Study.study_instance_uid == uid))
            if study is None:
                return None
            of_study = Delivery.draft.has(study_id=study.id)
            proved = session.scalar(select(Delivery.proved_at).where(of_study))
            events = session.scalars(select(Event).where(Event.study_id == study.id)).all()
            moments = {event.kind: event.time for event in events}
            began = study.last_received_at.timestamp() + settings.completeness.quiet_s
    finally:
        sessions.kw["bind"].dispose()
    return None if proved is None else _differences(moments, began, proved)


def _differences(moments: dict[str, datetime], began: float, proved: datetime) -> dict[str, float]:
    before, seconds = began, {}
    for step, kind in STEPS.items():
        moment = (proved if kind is None else moments[kind]).timestamp()
        seconds[step], before = moment - before, moment
    return seconds


def measure(
    rounds: int, quiet_s: float, database: str | None, *, text_alone: bool
) -> dict[str, object]:
    """Medians over studies that are sent one after the other; the first one is not counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_archive(folder / "archive", ae_title=ARCHIVE) as archive_port:
            config = write_settings(folder, archive_port, quiet_s, database, text_alone=text_alone)
            settings = load_settings(config)
            receiver = Dimse("127.0.0.1", settings.receiver.port, "CTSCRIBE")
            with (folder / "log").open("wb") as log:
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                command = [*CTSCRIBE, "serve", "-c", str(config)]
                service = subprocess.Popen(command, stderr=log, env=environment)
                try:
                    wait_for(lambda: answers(receiver))
                    found = [one_study(folder, receiver, settings, n) for n in range(rounds + 1)]
                finally:
                    service.terminate()
                    service.wait()
    whole = [sum(steps.values()) for steps in found[1:]]
    return {
        "studies": rounds,
        "text_alone": text_alone,
        "database": "SQLite" if database is None else database.partition(":")[0],
        "quiet_end_to_proof_s": round(statistics.median(whole), 2),
        "slowest_s": round(max(whole), 2),
        "steps_s": {
            step: round(statistics.median(steps[step] for steps in found[1:]), 2) for step in STEPS
        },
    }


def one_study(folder: Path, receiver: Dimse, settings: Settings, number: int) -> dict[str, float]:
    series = write_study(make_phantom(100 + number, matrix=160), folder / f"study{number}")
    paths = sorted(series.rglob("*.dcm"))
    uid = str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    receiver.store(*paths)
    wait_for(lambda: steps_of(settings, uid) is not None)
    steps = steps_of(settings, uid)
    assert steps is not None
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quiet", type=float, default=2.0, help="quiet period in seconds")
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; else SQLite")
    parser.add_argument("--text-alone", action="store_true", help="without evidence and confidence")
    parser.add_argument("--record", type=Path, help="where the result is kept, too")
    arguments = parser.parse_args()
    found = measure(
        arguments.rounds, arguments.quiet, arguments.database, text_alone=arguments.text_alone
    )
    result = json.dumps(found, indent=2)
    print(result)
    if arguments.record:
        arguments.record.write_text(result + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
