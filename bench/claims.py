"""Claims per second of jobs and of deliveries, on PostgreSQL, with few and with many workers.

    python -m bench.claims                  1 worker and 600 jobs, 24 and 30,000; deliveries too
    python -m bench.claims --before REV     with the claiming of an earlier revision beside it

Each worker is a process of its own. The server is a private one that fsyncs, on this machine: both
share the processors. What a claim costs them does not depend on who else uses them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugin.state.database import SessionFactory

Result = tuple[int, float, float, float]
"""Claims; seconds that they took; processor seconds of the worker and of its server process."""
ROOT = Path(__file__).parents[1]
SITUATIONS = ((1, 600), (24, 30_000))
# A study of so many instances: a claim names their files
INSTANCES = 10
# As a server is installed, but for the network; the tables are new, so no planner knows them yet
SERVER = "-c listen_addresses='' -c max_connections=200"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of claiming, each time")
    parser.add_argument("--before", help="revision that claims in the same run")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        url, what, workers, rows, seconds = options.measure
        measure(url, what, int(workers), int(rows), float(seconds))
        return
    compare(options.seconds, options.before)


def compare(seconds: float, before: str | None) -> None:
    """Print a line for everything that is claimed, however many claim it, and each revision."""
    from bench.intake import checked_out
    from tests.postgres import running_cluster, server_binaries

    binaries = server_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not installed (Debian package postgresql)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-claims-")))
        sources = {"now": ROOT}
        if before:
            sources["before"] = stack.enter_context(checked_out(before, folder / "source"))
        cluster = stack.enter_context(running_cluster(binaries, SERVER))
        for what in ("jobs", "deliveries"):
            for workers, rows in SITUATIONS:
                for name, source in sources.items():
                    with cluster.database() as database:
                        url = cluster.url(database)
                        told = told_by(source, url, what, workers, rows, seconds)
                    situation = f"{what:10} {rows:6} rows {workers:3} worker(s)"
                    print(f"{situation} {name:6} {told}", flush=True)


def told_by(source: Path, url: str, what: str, workers: int, rows: int, seconds: float) -> str:
    """Measure with the packages of a folder, in a process of its own."""
    arguments = [url, what, str(workers), str(rows), str(seconds)]
    done = subprocess.run(
        [sys.executable, __file__, "--measure", *arguments],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def measure(url: str, what: str, workers: int, rows: int, seconds: float) -> None:
    """Fill a new database, have the workers claim, and print how many claims a second."""
    from sqlalchemy import text

    from plugin.state.database import open_database

    engine = open_database(url)
    with engine.begin() as connection:
        for statement in FILL:
            now = datetime.now(UTC) - timedelta(hours=1)
            connection.execute(text(statement), {"rows": rows, "each": INSTANCES, "now": now})
    engine.dispose()
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=work, args=(url, what, seconds, barrier, queue))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    results = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    count, _, worker_s, server_s = map(sum, zip(*results, strict=True))
    rate, per_claim = count / max(taken for _, taken, _, _ in results), 1000 / max(count, 1)
    cpu = f"{worker_s * per_claim:6.2f} ms CPU a claim, {server_s * per_claim:7.2f} of the server"
    print(f"{rate:6.0f} /s {cpu}")


def work(url: str, what: str, seconds: float, barrier: Barrier, results: Queue[Result]) -> None:
    """Claim until the time is over, or nothing is left."""
    from sqlalchemy import text

    from bench.intake import cpu_s
    from plugin.state.database import connect, session_factory

    engine = connect(url)
    claim = claimer(session_factory(engine), what)
    claim()  # the first one makes the statements, which a worker does once in weeks
    with engine.connect() as connection:
        server = [int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)]
    barrier.wait()
    idle_s, begin, count = (time.process_time(), cpu_s(server)), time.perf_counter(), 0
    while time.perf_counter() - begin < seconds and claim():
        count += 1
    taken_s = time.perf_counter() - begin
    results.put((count, taken_s, time.process_time() - idle_s[0], cpu_s(server) - idle_s[1]))


def claimer(sessions: SessionFactory, what: str) -> Callable[[], bool]:
    """Return what takes the next job, or delivery, and says whether there was one."""
    from plugin.delivery.outbox import Outbox
    from plugin.drafting.jobs import claim_job
    from plugin.state.watch import Watch

    outbox, watch = Outbox(sessions, Path()), Watch(lease_s=3600.0)
    if what == "deliveries":
        return lambda: outbox.claim("pacs", 3600.0) is not None
    return lambda: claim_job(sessions, watch, attempts=5, now=datetime.now(UTC)) is not None


# Studies that became quiet one after the other an hour ago; one of two has a draft to be delivered
_MOMENT = "CAST(:now AS timestamptz) + n * interval '1 millisecond'"
_ALL = "FROM generate_series(1, 2 * :rows) n"
_DRAFTED = "FROM generate_series(:rows + 1, 2 * :rows) n"
FILL = (
    "INSERT INTO studies (id, study_instance_uid, first_received_at, last_received_at, state) "
    f"SELECT n, '1.2.' || n, {_MOMENT}, {_MOMENT}, 'receiving' {_ALL}",
    "INSERT INTO series (id, study_id, series_instance_uid, modality) "
    f"SELECT n, n, '1.3.' || n, 'CT' {_ALL}",
    "INSERT INTO instances (study_id, series_id, sop_instance_uid, sop_class_uid, "
    "transfer_syntax_uid, path, size, sha256, processed, received_at) "
    "SELECT n, n, '1.4.' || n || '.' || i, '1', '1', 'instances/' || n || '/' || i, 1, '0', true, "
    f"{_MOMENT} FROM generate_series(1, :rows) n, generate_series(1, :each) i",
    "INSERT INTO jobs (id, study_id, revision, state, forced, deadline, hard_deadline, not_before, "
    "attempts, created_at) SELECT n, n, 1, CASE WHEN n > :rows THEN 'done' ELSE 'pending' END, "
    f"false, {_MOMENT}, {_MOMENT} + interval '1 hour', {_MOMENT}, 0, {_MOMENT} {_ALL}",
    "INSERT INTO drafts (id, study_id, job_id, revision, state, is_current, sop_instance_uid, "
    "series_instance_uid, path, selected_digest, created_at) SELECT n, n, n, 1, 'complete', true, "
    f"'1.5.' || n, '1.6', 'drafts/' || n, '0', {_MOMENT} {_DRAFTED}",
    "INSERT INTO deliveries (draft_id, destination, kind, retracts, state, attempts, sends, "
    "misses, refusals, away, not_before) SELECT n, 'pacs', 'dimse', false, 'pending', 0, 0, 0, 0, "
    f"false, {_MOMENT} {_DRAFTED}",
)


if __name__ == "__main__":
    main()
