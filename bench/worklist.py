"""The reading room's list of studies among many: how long each page of it takes.

python -m bench.worklist --studies 100000
python -m bench.worklist --studies 100000 --database postgresql://localhost/empty
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from plugin.state.database import open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.kept.listings import Listing
from plugin.state.kept.reviews import Review
from plugin.state.tables import Delivery, Draft, Job, Study
from plugin.web.dicomweb.archive import Archive
from plugin.web.reading.rows import State
from plugin.web.reading.worklist import Filter, Worklist

# What a day leaves that nobody has decided yet
UNDECIDED = 300
_TURNS = 7


def fill(engine: Engine, studies: int) -> None:
    """Make studies that were drafted, delivered and, but for the last, accepted.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of an empty database.
    studies : int
        How many.
    """
    now = datetime.now(UTC)
    keys = range(1, studies + 1)
    came = {key: now - timedelta(minutes=studies - key) for key in keys}
    moments = dict.fromkeys(("deadline", "hard_deadline", "not_before", "created_at"), now)
    tables: list[tuple[Any, Callable[[int], dict[str, Any]]]] = [
        (Study, lambda key: _study(key, came[key])),
        (Job, lambda key: {"study_id": key, "revision": 1, "state": "done", "urgency": key % 3}),
        (Draft, _draft),
        (Delivery, lambda key: {"draft_id": key, "destination": "pacs", "kind": "dimse"}),
        (Listing, _listing),
    ]
    with session_factory(engine).begin() as session:
        for table, row in tables:
            more = moments if table is Job else {}
            more = {"created_at": now} if table is Draft else more
            more = {"state": "proved", "not_before": now} if table is Delivery else more
            key = "study_id" if table is Listing else "id"
            session.execute(insert(table), [{**row(one), **more, key: one} for one in keys])
        decided = {"state": "accepted", "sections": [], "saved_at": now, "saved_by": "x"}
        session.execute(
            insert(Review),
            [{"study_id": key, "draft_id": key, **decided} for key in keys[: -UNDECIDED or None]],
        )
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("ANALYZE")


def _study(key: int, came: datetime) -> dict[str, Any]:
    uid, number = f"1.2.{key}", f"A{key:07}"
    moments = {"first_received_at": came, "last_received_at": came}
    return {
        "study_instance_uid": uid,
        "accession_number": number,
        "state": "drafted",
        **moments,
    }


def _draft(key: int) -> dict[str, Any]:
    uids = {"sop_instance_uid": f"2.25.{key}", "series_instance_uid": f"2.26.{key}"}
    written = {"revision": 1, "state": "complete", "path": "x", "selected_digest": "d"}
    return {"study_id": key, "job_id": key, "model_name": "m", **uids, **written}


def _listing(key: int) -> dict[str, Any]:
    return {"patient_name": f"Doe{key}^Jane", "patient_id": str(key), "sought": f"doe{key} jane"}


def measured(engine: Engine) -> dict[str, float]:
    """Return the median of each question, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        worklist = Worklist(Archive(session_factory(engine), Spool(Path(folder))))
        waiting = frozenset({State.DRAFT, State.PARTIAL, State.LATER})
        questions: dict[str, Callable[[], object]] = {
            "to read": lambda: worklist.page(Filter(waiting), 100, None),
            "all": lambda: worklist.page(Filter(), 100, None),
            "accepted": lambda: worklist.page(Filter(frozenset({State.ACCEPTED})), 100, None),
            "name": lambda: worklist.page(Filter(search="doe777 jane"), 100, None),
            "number": lambda: worklist.page(Filter(search="A00007"), 100, None),
            "one study": lambda: worklist.row("1.2.1"),
            "counts": lambda: worklist.counts(Filter()),
        }
        return {name: _median_ms(ask) for name, ask in questions.items()}


def _median_ms(ask: Callable[[], object]) -> float:
    took = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--database", help="URL of an empty database; SQLite without it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(given.database or f"sqlite:///{folder}/ctscribe.db")
        fill(engine, given.studies)
        print(json.dumps({"studies": given.studies, "median_ms": measured(engine)}, indent=2))
        engine.dispose()


if __name__ == "__main__":
    main()
