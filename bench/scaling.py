"""What an installation needs at so many studies a day: receivers, GPUs, disk, rows, connections.

A day's arrivals are drawn hour by hour, and wait in line for engines whose times are given. The
rest follows from what is measured here, or was recorded: `python -m bench.scaling`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import text

from bench.throughput import write_phantom
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.fake import FakeEngine
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception import intake
from plugin.reception.header import Header
from plugin.reception.intake import Arrival
from plugin.state.completeness import Patience
from plugin.state.database import (
    KEPT_CONNECTIONS,
    MOST_CONNECTIONS,
    open_database,
    session_factory,
)

RECORDS = Path(__file__).parent / "records"
HOUR_S, DAY_S = 3600.0, 86400.0
# Of a day's studies, hour by hour: departments work by day, and emergencies come at night. The
# busiest hour has 2.5 times the mean
DAY = (8, 6, 5, 5, 6, 9, 20, 50, 85, 110, 110, 100, 80, 85, 95, 85, 65, 45, 28, 18, 14, 11, 8, 8)
# A core that receives is never busier than this, so that a burst finds room
BUSY = 0.8
GROUP = 64
_PLACES = ("record", "database")


@dataclass(frozen=True)
class Load:
    """What comes: studies a day, slices a study, and bytes a slice."""

    studies: int
    slices: int
    slice_bytes: int

    @property
    def peak(self) -> float:
        """Studies a second in the busiest hour."""
        return self.studies * max(DAY) / sum(DAY) / HOUR_S


def arrivals(load: Load, seed: int) -> Iterator[float]:
    """Draw the seconds of a day at which studies are complete."""
    chance = random.Random(seed)
    for hour, share in enumerate(DAY):
        rate, now = load.studies * share / sum(DAY) / HOUR_S, 0.0
        while (now := now + chance.expovariate(rate)) < HOUR_S:
            yield hour * HOUR_S + now


def waits(times: Sequence[float], engines: int, seconds: float, batch: int) -> list[float]:
    """How long each study waits until it is at an engine.

    Parameters
    ----------
    times : sequence of float
        When they come, in order.
    engines : int
        How many there are.
    seconds : float
        For a batch, of whatever size.
    batch : int
        So many of those that wait begin together.
    """
    free, waited, first = [0.0] * engines, [], 0
    while first < len(times):
        begins = max(heapq.heappop(free), times[first])
        together = [time for time in times[first : first + batch] if time <= begins]
        waited += [begins - time for time in together]
        first += len(together)
        heapq.heappush(free, begins + seconds)
    return waited


def engines_needed(load: Load, seconds: float, batch: int, longest_s: float) -> dict[str, Any]:
    """The fewest engines with which 95 of 100 studies wait no longer than so many seconds."""
    times = list(arrivals(load, seed=12))
    fewer: list[float] = []
    for engines in count(math.ceil(load.studies / DAY_S * seconds / batch)):
        waited = sorted(waits(times, engines, seconds, batch))
        if _of_95(waited) <= longest_s:
            return {
                "engines": engines,
                "wait_s_median": round(statistics.median(waited), 1),
                "wait_s_95_percent": round(_of_95(waited), 1),
                "wait_s_longest": round(waited[-1], 1),
                "wait_s_95_percent_with_one_less": round(_of_95(fewer), 1) if fewer else None,
            }
        fewer = waited
    raise AssertionError("unreachable")


def _of_95(waited: Sequence[float]) -> float:
    return waited[int(0.95 * len(waited))]


def slices_a_second() -> int:
    """What one receiver process took from one association in its slowest round, as recorded."""
    text = (RECORDS / "intake.txt").read_text("utf-8")
    found = re.search(r"^1 association\(s\)\s+ctscribe\s+\d+\s+\((\d+)-", text, re.MULTILINE)
    assert found
    return int(found[1])


def an_arrival(study: str, series: str) -> Arrival:
    uid = str(generate_uid())
    path = f"instances/{study}/{uid}-{'0' * 16}.dcm"
    header = Header(CTImageStorage, uid, study, series, "CT", "ACC0123456789", own=False)
    return Arrival(header, ExplicitVRLittleEndian, path, 524288, uid.encode().hex()[:64], None)


def row_bytes(url: str, slices: int, studies: int = 20) -> float:
    """Measure what the rows of a slice take in a database, its indexes and the study's included."""
    engine = open_database(url)
    sessions, patience = session_factory(engine), Patience.of_seconds(60.0, 3600.0)
    size = (
        "SELECT pg_database_size(current_database())"
        if engine.dialect.name == "postgresql"
        else "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    )
    with engine.connect() as connection:
        before = connection.scalar(text(size))
    for _ in range(studies):
        study, series = str(generate_uid()), str(generate_uid())
        waiting = [an_arrival(study, series) for _ in range(slices)]
        for first in range(0, slices, GROUP):
            group = waiting[first : first + GROUP]
            with sessions.begin() as session:
                intake.record(session, group, patience=patience, now=datetime.now(UTC))
    with engine.connect() as connection:
        after = connection.scalar(text(size))
    engine.dispose()
    return float(after - before) / (slices * studies)


def worker_seconds(slices: int, rounds: int = 3) -> float:
    """Measure the processor time of a study outside the engine, for so many slices of 512 x 512.

    A phantom of fewer slices is drafted; nearly all of it is work for each slice.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(Path(folder, "study"), scale=4)
        paths = sorted(Path(folder, "study").rglob("*.dcm"))
        pipeline = Pipeline(FakeEngine(preprocess=PreprocessSpec()))
        pipeline.make_report(paths)
        began = time.process_time()
        for _ in range(rounds):
            pipeline.make_report(paths)
        return (time.process_time() - began) / rounds * slices / len(paths)


def needs(load: Load, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, from what is measured now, recorded, or given."""
    slices_s = load.peak * load.slices
    receivers = math.ceil(slices_s / slices_a_second() / BUSY)
    worker_s, bytes_a_slice = worker_seconds(load.slices), _row_bytes(arguments, load)
    workers = math.ceil(load.peak * worker_s / BUSY)
    processes = receivers + workers + 2  # delivery and upkeep
    longest_s = arguments.wait
    alone = engines_needed(load, arguments.study, 1, longest_s)
    batched = engines_needed(load, arguments.batch_seconds, arguments.batch, longest_s)
    return {
        "studies_a_second_in_the_busiest_hour": round(load.peak, 2),
        "slices_a_second_in_the_busiest_hour": round(slices_s),
        "megabytes_a_second_in_the_busiest_hour": round(slices_s * load.slice_bytes / 1e6),
        "terabytes_of_images_a_day": round(load.studies * load.slices * load.slice_bytes / 1e12, 1),
        "slices_a_second_of_one_receiver": slices_a_second(),
        "receivers": receivers,
        "worker_processor_s_a_study": round(worker_s, 2),
        "workers": workers,
        # One batch at work and one that waits, for every engine
        "studies_in_hand_of_each": math.ceil(2 * arguments.batch * batched["engines"] / workers),
        "engines_one_study_at_a_time": {"seconds_a_study": arguments.study, **alone},
        "engines_with_batches": {
            "batch": arguments.batch,
            "seconds_a_batch": arguments.batch_seconds,
            **batched,
        },
        "bytes_of_rows_a_slice": round(bytes_a_slice),
        "gigabytes_of_rows_a_day": round(load.studies * load.slices * bytes_a_slice / 1e9, 1),
        "database_connections": [processes * KEPT_CONNECTIONS, processes * (MOST_CONNECTIONS + 1)],
    }


def _row_bytes(arguments: argparse.Namespace, load: Load) -> float:
    if arguments.database:
        return row_bytes(arguments.database, load.slices)
    with tempfile.TemporaryDirectory() as folder:
        return row_bytes(f"sqlite:///{folder}/rows.db", load.slices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100_000, help="a day")
    parser.add_argument("--slices", type=int, default=300, help="of a study, on average")
    parser.add_argument("--slice-bytes", type=int, default=512 * 512 * 2)
    parser.add_argument(
        "--study", type=float, default=6.0, help="seconds of an engine for one study"
    )
    parser.add_argument("--batch", type=int, default=4, help="studies in a batch")
    parser.add_argument("--batch-seconds", type=float, default=9.0, help="of a batch")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds that 95 of 100 may wait")
    parser.add_argument("--database", help="URL of an empty database; by default SQLite")
    parser.add_argument("--record", type=Path, help="where the result is kept, too")
    arguments = parser.parse_args()
    load = Load(arguments.studies, arguments.slices, arguments.slice_bytes)
    given = {
        key: value for key, value in vars(arguments).items() if key not in ("record", "database")
    }
    result = json.dumps({"given": given, **needs(load, arguments)}, indent=2)
    print(result)
    if arguments.record:
        arguments.record.write_text(result + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
