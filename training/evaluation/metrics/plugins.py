"""Metrics that need weights or packages of their own, from outside (docs/evaluation.md).

A plug-in is a function that takes the folder of its weights, or None, and returns a `TextMetric`.
It is found by its name in the entry-point group `ctscribe.metrics`, or in a file.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from dicom_io.errors import UnusableData
from training.evaluation.metrics.text_metrics import TextMetric

GROUP = "ctscribe.metrics"
FACTORY = "metric"
"""What a file calls its function."""

Factory = Callable[[Path | None], TextMetric]


def load_metric(wanted: str) -> TextMetric:
    """Load a metric.

    Parameters
    ----------
    wanted : str
        `NAME`, or a file that ends in `.py`; then `=FOLDER` for its weights where it needs some.

    Raises
    ------
    UnusableData
        There is no such plug-in, its weights are not there, or it cannot be loaded.
    """
    name, _, folder = wanted.partition("=")
    weights = Path(folder) if folder else None
    if weights is not None and not weights.exists():
        raise UnusableData(f"the weights of metric {name} are not there: {weights}")
    try:
        factory = _from_file(Path(name)) if name.endswith(".py") else _from_entry_point(name)
        return factory(weights)
    except ImportError as error:
        raise UnusableData(f"metric {name} needs a package that is not here: {error}") from error


def _from_entry_point(name: str) -> Factory:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise UnusableData(
            f"no metric {name!r} is installed (entry points {GROUP}); "
            f"there is {', '.join(sorted(known)) or 'none'}; or give a file that ends in .py"
        )
    factory: Factory = known[name].load()
    return factory


def _from_file(path: Path) -> Factory:
    if not path.is_file():
        raise UnusableData(f"no metric at {path}")
    factory: Factory | None = runpy.run_path(str(path)).get(FACTORY)
    if factory is None:
        raise UnusableData(f"{path} has no function `{FACTORY}(weights)`")
    return factory
