"""What a Prometheus server can ask of the service: all of it from the database and the spool.

docs/monitoring.md says what each name means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.running.pulse import processes
from plugin.state.tally import BUCKETS_S, Counted, Timed, counts
from plugin.upkeep.keeping.limits import Disk
from plugin.upkeep.metrics import figures

PREFIX = "ctscribe_"
_COUNTERS = {
    Counted.INSTANCES: ("Instances that were acknowledged, by outcome.", ("outcome",)),
    Counted.BYTES: ("Bytes of instances that were acknowledged.", ()),
    Counted.REFUSALS: ("Instances and associations that were refused, by reason.", ("reason",)),
    Counted.EVENTS: ("Events of the timeline, by kind and level.", ("kind", "level")),
    Counted.DRAFTS: ("Drafts that were written, by state.", ("state",)),
    Counted.DELIVERIES: (
        "Steps of deliveries, by destination and outcome.",
        ("destination", "outcome"),
    ),
}
_HISTOGRAMS = {
    Timed.STEP: ("Seconds of each step of a draft.", "step"),
    Timed.WAIT: ("Seconds from the moment a study is due to its first attempt.", "urgency"),
}
_GAUGES: dict[str, tuple[str, tuple[str, ...], figures.Figure]] = {
    "jobs": ("Jobs that are not done, by state and urgency.", ("state", "urgency"), figures.jobs),
    "oldest_due_job_seconds": (
        "How long the job has been due that is due longest, by urgency.",
        ("urgency",),
        figures.oldest_due_job,
    ),
    "open_deliveries": (
        "Deliveries that have not ended well, by destination and state.",
        ("destination", "state"),
        figures.open_deliveries,
    ),
    "oldest_delivery_seconds": (
        "Age of the draft that waits longest for a destination.",
        ("destination",),
        figures.oldest_delivery,
    ),
    "images_bytes": ("What the images of settled studies take.", (), figures.images_bytes),
    "engine_up": ("Whether the engine answered when it was last asked.", (), figures.engine_up),
    "confidence_drift": (
        "How much less sure the model is of late drafts than where it was calibrated.",
        (),
        figures.drift,
    ),
    "model_info": ("The model that drafts.", ("model", "digest"), figures.model),
}


@dataclass(frozen=True)
class ServiceMetrics(Collector):
    """All figures of a service, read anew at each request.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    spool : Path
        Its spool.
    floor_bytes : int
        Free space under which senders are refused.
    now : callable
        The clock of a session's database.
    """

    sessions: SessionFactory
    spool: Path
    floor_bytes: int = 0
    now: Callable[[Session], datetime] = now_of

    def collect(self) -> Iterator[Metric]:
        yield _gauge("info", "The version that looks after the service.", version=_version())
        yield self._processes()
        yield self._disk()
        database_up = 1
        try:
            found = [*self._counted(), *self._figures()]
        except DBAPIError:
            database_up, found = 0, []
        yield GaugeMetricFamily(
            f"{PREFIX}database_up", "Whether the database answers.", value=database_up
        )
        yield from found

    def _processes(self) -> Metric:
        labels = ("part", "host", "state")
        family = GaugeMetricFamily(
            f"{PREFIX}processes", "Processes that did not end in order, by state.", labels=labels
        )
        found = [(one.part, one.host, one.state) for one in processes(self.spool)]
        for one in sorted(set(found)):
            family.add_metric(one, found.count(one))
        return family

    def _disk(self) -> Metric:
        disk = Disk.of(self.spool)
        family = GaugeMetricFamily(
            f"{PREFIX}disk_bytes", "The spool's disk, and the floor.", labels=("what",)
        )
        for what, size in (("total", disk.total), ("free", disk.free), ("floor", self.floor_bytes)):
            family.add_metric((what,), size)
        return family

    def _figures(self) -> Iterator[Metric]:
        for name, (text, labels, figure) in _GAUGES.items():
            family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
            with self.sessions() as session:  # one after the other: receivers get in between
                for values, value in figure(session, self.now(session)):
                    family.add_metric(values, value)
            yield family

    def _counted(self) -> Iterator[Metric]:
        rows = counts(self.sessions)
        for counter, (text, labels) in _COUNTERS.items():
            family = CounterMetricFamily(PREFIX + counter, text, labels=labels)
            for name, own, value in rows:
                if name == counter:
                    family.add_metric([own[label] for label in labels], value)
            yield family
        for timed, (text, label) in _HISTOGRAMS.items():
            yield _histogram(timed, text, label, rows)


def _histogram(
    timed: Timed, text: str, label: str, rows: list[tuple[str, dict[str, str], float]]
) -> Metric:
    family = HistogramMetricFamily(PREFIX + timed, text, labels=(label,))
    sums = {own[label]: value for name, own, value in rows if name == f"{timed}_sum"}
    for which, total in sums.items():
        mine = {own["le"]: n for name, own, n in rows if name == timed and own[label] == which}
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        below = accumulate(mine.get(bound, 0) for bound in bounds)
        family.add_metric([which], list(zip(bounds, below, strict=True)), total)
    return family


def _gauge(name: str, text: str, **labels: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=tuple(labels))
    family.add_metric(list(labels.values()), 1)
    return family


def _version() -> str:
    return version("ctscribe")
