"""Jobs one after the other; what is finished stays finished when the run is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from rich.console import Console

from training.data.shards import write_atomically

FINISHED = "finished.json"


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Parameters
    ----------
    kind : str
        Jobs of a kind take about as long.
    name : str
        What is done, on the terminal.
    folder : Path
        Where its results lie; also says that it is finished.
    work : callable
        Goes on by itself when it was killed.
    """

    kind: str
    name: str
    folder: Path
    work: Callable[[], object]

    @property
    def seconds(self) -> float | None:
        """How long it took, without what went on before it was killed; None while unfinished."""
        path = self.folder / FINISHED
        if not path.exists():
            return None
        return float(json.loads(path.read_text("utf-8"))["seconds"])

    def run(self) -> None:
        started = time.monotonic()
        self.work()
        self.folder.mkdir(parents=True, exist_ok=True)
        seconds = {"seconds": round(time.monotonic() - started, 1)}
        write_atomically(self.folder / FINISHED, json.dumps(seconds))


def run_jobs(jobs: Sequence[Job]) -> None:
    """Run what is not finished, saying how far it is and how long the rest will take."""
    console = Console(stderr=True)
    for number, job in enumerate(jobs, start=1):
        if job.seconds is None:
            console.print(f"[{number}/{len(jobs)}] {job.name}{_left(jobs)}", markup=False)
            job.run()


def _left(jobs: Sequence[Job]) -> str:
    """Say how long the rest takes, by the jobs of the same kind that are finished."""
    known = [(job.kind, job.seconds) for job in jobs if job.seconds is not None]
    if not known:
        return ""
    everything = fmean(seconds for _, seconds in known)
    left = 0.0
    for job in jobs:
        if job.seconds is None:
            alike = [seconds for kind, seconds in known if kind == job.kind]
            left += fmean(alike) if alike else everything
    return f", {timedelta(seconds=round(left))} left"
