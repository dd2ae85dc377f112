"""Table 2: reports against references, and their findings against the references' findings."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.evaluation import published
from training.evaluation.findings.reader import default_vocabulary, read_findings
from training.evaluation.findings.score import counts, finding_table
from training.evaluation.folder import Output, claimed
from training.evaluation.items import PAPER_REPORTS, Item, report_items, write_items
from training.evaluation.metrics.bootstrap import Bootstrap
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.plots import bars
from training.evaluation.scores import (
    TextScores,
    cell,
    difference_table,
    endings,
    notes_of,
    score_texts,
)
from training.evaluation.setting import Setting
from training.evaluation.systems import System
from training.evaluation.tables import Table, write_tables

PAPER_METRICS = {"BLEU": "BLEU-1", "ROUGE": "ROUGE-1", "METEOR": "METEOR", "BERTScore": "BERTScore"}
"""By the paper's column, the metric's name here."""


def evaluate_reports(
    setting: Setting, system: System, metrics: Sequence[TextMetric]
) -> dict[str, Any]:
    """Let a system report the test images, score what it wrote, and write tables and plots.

    Parameters
    ----------
    metrics : sequence of TextMetric
        The paper's four; what is more goes into a table of its own.

    Returns
    -------
    dict
        What results.json holds.
    """
    items = report_items(setting.store, setting.split, setting.limit or PAPER_REPORTS)
    with claimed(setting.folder, setting.facts(system.facts)):
        write_items(setting.folder / "items.jsonl", items)
        outputs = system.texts(items, setting.folder)
        scored = {
            decoding: score_texts(metrics, items, [output.text for output in written])
            for decoding, written in outputs.items()
        }
        tables = list(report_tables(setting, system.name, items, outputs, scored))
        write_scores(setting.folder / "scores.csv", items, scored)
        found = {decoding: _found(items, written) for decoding, written in outputs.items()}
        write_scores(setting.folder / "findings.csv", items, found)
        bars(setting.folder / "table2", tables[0], columns=tuple(PAPER_METRICS))
        facts = setting.results(
            system.facts, texts={d: endings(written) for d, written in outputs.items()}
        )
        return write_tables(setting.folder, tables, facts)


def report_tables(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Mapping[str, Sequence[Output]],
    scored: Mapping[str, TextScores],
) -> list[Table]:
    """Lay out table 2, other metrics, findings, and the difference of two decodings."""
    draws = setting.draws(items)
    about = setting.table(len(items), "test reports")
    notes = (*about["notes"], *_ending_notes(outputs), *notes_of(scored.values()))
    rows = [
        (f"{name} ({decoding})", *(cell(draws, s, metric) for metric in PAPER_METRICS.values()))
        for decoding, s in scored.items()
    ]
    tables = [published.table(2, rows, **{**about, "notes": notes})]
    tables += _other_metrics(draws, name, scored, about)
    tables += [
        replace(_findings(draws, items, outputs[d], about, d), notes=about["notes"])
        for d in outputs
    ]
    if {"greedy", "sampled"} <= set(scored):
        first, second = scored["greedy"].scores, scored["sampled"].scores
        figures = [(m, first[m], second[m]) for m in first if m in second]
        title = f"Sampled minus greedy, in pairs{about['title']}"
        tables.append(difference_table(draws, figures, "difference", title))
    return tables


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


def _other_metrics(
    draws: Bootstrap, name: str, scored: Mapping[str, TextScores], about: Mapping[str, Any]
) -> list[Table]:
    """Lay out the metrics that the paper has not; each counts from 0 to 1 in its own way."""
    first = next(iter(scored.values()))
    others = [m for m in (*first.scores, *first.missing) if m not in PAPER_METRICS.values()]
    if not others:
        return []
    rows = tuple(
        (f"{name} ({decoding})", *(cell(draws, scores, metric) for metric in others))
        for decoding, scores in scored.items()
    )
    title = f"Other metrics{about['title']}"
    return [Table("other_metrics", title, ("system", *others), rows, about["notes"])]


def _findings(
    draws: Bootstrap,
    items: Sequence[Item],
    outputs: Sequence[Output],
    about: Mapping[str, Any],
    decoding: str,
) -> Table:
    vocabulary = default_vocabulary()
    references = [read_findings(item.reference, vocabulary) for item in items]
    predictions = [read_findings(output.text, vocabulary) for output in outputs]
    title = f"Findings ({decoding}){about['title']}"
    names = vocabulary.findings
    return finding_table(draws, references, predictions, names, title, f"findings_{decoding}")


def _found(items: Sequence[Item], outputs: Sequence[Output]) -> TextScores:
    """Count the findings of each report that are right, too many and missed, with their side."""
    vocabulary = default_vocabulary()
    references = [read_findings(item.reference, vocabulary) for item in items]
    predictions = [read_findings(output.text, vocabulary) for output in outputs]
    counted = counts(references, predictions, vocabulary.findings, "strict").sum(axis=1)
    names = ("true positives", "false positives", "false negatives")
    return TextScores(dict(zip(names, counted.T, strict=True)), {})


def _ending_notes(outputs: Mapping[str, Sequence[Output]]) -> tuple[str, ...]:
    return tuple(
        f"{decoding}: " + ", ".join(f"{count} {what}" for what, count in endings(written).items())
        for decoding, written in outputs.items()
    )
