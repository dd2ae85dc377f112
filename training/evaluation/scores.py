"""Texts of a system against references: every metric, each sample by itself."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dicom_io.errors import UnusableData
from dicom_io.extras import install_hint
from training.evaluation.folder import Output
from training.evaluation.items import Item
from training.evaluation.metrics.bootstrap import Bootstrap, Interval, mean, summed
from training.evaluation.metrics.text_metrics import Scores, TextMetric
from training.evaluation.printed.tables import Cell, Table

PAPER_METRICS = {"BLEU": "BLEU-1", "ROUGE": "ROUGE-1", "METEOR": "METEOR", "BERTScore": "BERTScore"}
"""By the paper's column, the metric's name here."""

NOT_COMPUTED = "not computed"

LIBRARIES = (
    *("sacrebleu", "rouge-score", "nltk", "bert-score"),
    *("transformers", "tokenizers", "torch", "numpy"),
)


@dataclass(frozen=True, eq=False)
class TextScores:
    """What each metric gave.

    Parameters
    ----------
    scores : dict of str to ndarray
        In [0, 1], shape (n,), by the metric's name.
    missing : dict of str to str
        Why a metric was not computed.
    """

    scores: dict[str, Scores]
    missing: dict[str, str]

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{name}: not computed; {why}." for name, why in self.missing.items())


def notes_of(scored: Iterable[TextScores]) -> tuple[str, ...]:
    """What is missing in any of them, each said once."""
    return tuple(dict.fromkeys(note for scores in scored for note in scores.notes))


def score_texts(
    metrics: Iterable[TextMetric], items: Sequence[Item], texts: Sequence[str]
) -> TextScores:
    """Score a text for each item with every metric that has what it needs.

    Parameters
    ----------
    metrics : iterable of TextMetric
        What to compute.
    items : sequence of Item
        With the texts that were wanted.
    texts : sequence of str
        What was written, in the same order.
    """
    references = [item.reference for item in items]
    scores: dict[str, Scores] = {}
    missing: dict[str, str] = {}
    for metric in metrics:
        try:
            scores[metric.name] = metric.score(texts, references)
        except UnusableData as error:
            missing[metric.name] = str(error)
        except ModuleNotFoundError as error:
            missing[metric.name] = install_hint(error) or str(error)
    return TextScores(scores, missing)


def score_outputs(
    metrics: Iterable[TextMetric], items: Sequence[Item], outputs: Mapping[str, Sequence[Output]]
) -> dict[str, TextScores]:
    """Score the outputs for the items, by the way in which they were decoded.

    Parameters
    ----------
    metrics : iterable of TextMetric
        What to compute.
    items : sequence of Item
        With the texts that were wanted.
    outputs : mapping
        What was written, in the same order, by decoding.
    """
    return {d: score_texts(metrics, items, [o.text for o in of]) for d, of in outputs.items()}


def write_scores(path: Path, items: Sequence[Item], scored: Mapping[str, TextScores]) -> None:
    """Write every score of every item, for `ctscribe eval compare` and for other programs.

    Parameters
    ----------
    path : Path
    items : sequence of Item
    scored : mapping of str to TextScores
        By decoding, or by the size of the pool that the first items make.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "case", "task", "type", "decoding", "metric", "score"])
        for decoding, scores in scored.items():
            for metric, values in scores.scores.items():
                for item, value in zip(items[: len(values)], values.tolist(), strict=True):
                    own = [item.key, item.case, item.task, item.type]
                    writer.writerow([*own, decoding, metric, repr(value)])


def percent(draws: Bootstrap, scores: Scores) -> Interval:
    """Return the mean of scores in percent."""
    return draws.interval(summed(scores), mean).times(100)


def cell(draws: Bootstrap, scored: TextScores, metric: str) -> Cell:
    """Return a metric's mean for a table, or that it was not computed.

    Parameters
    ----------
    draws : Bootstrap
        Gives the interval.
    scored : TextScores
        All scores of the texts.
    metric : str
        Its name.
    """
    if metric in scored.scores:
        return percent(draws, scored.scores[metric])
    return NOT_COMPUTED


def difference_table(
    draws: Bootstrap, figures: Sequence[tuple[str, Scores, Scores]], name: str, title: str
) -> Table:
    """Lay out second minus first, in pairs, for figures that are means.

    Parameters
    ----------
    draws : Bootstrap
        Gives the intervals.
    figures : sequence
        Of each: name, scores of the first system, of the second.
    name, title : str
        File and heading of the table.
    """
    rows = tuple(
        (label, draws.difference(summed(first), summed(second), mean).times(100))
        for label, first, second in figures
    )
    return Table(name, title, ("figure", "difference"), rows)


def endings(outputs: Sequence[Output]) -> dict[str, int]:
    """Count what became of the texts."""
    return {
        "texts": len(outputs),
        "abstained": sum(output.abstained is not None for output in outputs),
        "cut off": sum(output.finish_reason == "length" for output in outputs),
        "empty": sum(not output.text.strip() for output in outputs),
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that the figures depend on."""
    found: dict[str, str] = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found
