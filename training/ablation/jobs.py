"""Jobs that are done one after the other; what is finished stays finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from rich.console import Console

from training.data.shards import write_atomically

FINISHED = "finished.json"


@dataclass(frozen=True)
class Job:
    """One call of what is behind `train` or `eval`, which goes on by itself when it was killed.

    Parameters
    ----------
    kind : str
        Units of a kind take about as long.
    name : str
        What is done, on the terminal.
    folder : Path
        Says that it is finished.
    units : int
        Steps of a stage, items of an evaluation.
    work : callable
    """

    kind: str
    name: str
    folder: Path
    units: int
    work: Callable[[], object]

    @property
    def seconds(self) -> float | None:
        """How long it took, without what went on before it was killed; None while unfinished."""
        return self._finished("seconds")

    @property
    def processor_seconds(self) -> float | None:
        """The same in processor time of all threads, which a busy machine changes less."""
        return self._finished("processor_seconds")

    def run(self) -> None:
        started, worked = time.monotonic(), time.process_time()
        self.work()
        self.folder.mkdir(parents=True, exist_ok=True)
        took = {
            "seconds": round(time.monotonic() - started, 1),
            "processor_seconds": round(time.process_time() - worked, 1),
        }
        write_atomically(self.folder / FINISHED, json.dumps(took))

    def _finished(self, what: str) -> float | None:
        path = self.folder / FINISHED
        return float(json.loads(path.read_text("utf-8"))[what]) if path.exists() else None


def once(jobs: Iterable[Job]) -> list[Job]:
    """Leave out what comes again: several variants may need the same."""
    found: dict[Path, Job] = {}
    for job in jobs:
        found.setdefault(job.folder, job)
    return list(found.values())


def run_jobs(jobs: Sequence[Job], everything: Sequence[Job], expected: Mapping[str, float]) -> None:
    """Run what is not finished, saying how far it is and how long the rest will take.

    Parameters
    ----------
    jobs : sequence of Job
    everything : sequence of Job
        These and the ones that are run later.
    expected : mapping
        Seconds of a unit, by kind, before any job of a kind is finished.
    """
    console = Console(stderr=True)
    for job in jobs:
        if job.seconds is None:
            number = 1 + [other.folder for other in everything].index(job.folder)
            left = seconds_left(everything, expected)
            about = "" if left is None else f", {timedelta(seconds=round(left))} left"
            console.print(f"[{number}/{len(everything)}] {job.name}{about}", markup=False)
            job.run()


def seconds_left(jobs: Sequence[Job], expected: Mapping[str, float]) -> float | None:
    """Return how long the unfinished jobs take; None where nothing is known of any.

    Parameters
    ----------
    jobs : sequence of Job
    expected : mapping
        Seconds of a unit, by kind. Finished jobs of a kind say it better.
    """
    rates = dict(expected)
    for kind in {job.kind for job in jobs}:
        done = [job for job in jobs if job.kind == kind and job.seconds is not None]
        if done:
            rates[kind] = sum(job.seconds or 0.0 for job in done) / sum(job.units for job in done)
    if not rates:
        return None
    middle = fmean(rates.values())
    return sum(job.units * rates.get(job.kind, middle) for job in jobs if job.seconds is None)
