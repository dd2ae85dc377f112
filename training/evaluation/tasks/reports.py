"""Table 2: reports against references, and their findings against the references' findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.evaluation.findings.clinical import label_table, severity_table
from training.evaluation.findings.reader import read_findings
from training.evaluation.findings.score import counts, finding_table
from training.evaluation.findings.vocabulary import default_vocabulary
from training.evaluation.items import PAPER_REPORTS, Item, report_items
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.printed import published
from training.evaluation.printed.plots import bars
from training.evaluation.printed.tables import Cell, Table
from training.evaluation.scores import (
    PAPER_METRICS,
    TextScores,
    cell,
    difference_table,
    endings,
    notes_of,
    score_outputs,
    write_scores,
)
from training.evaluation.setting import Outputs, Setting
from training.evaluation.systems import System

COUNTED = ("true positives", "false positives", "false negatives")
"""What findings.csv says of each report: findings with their side and size."""


_HEADED = {"labels": "Labels of CT-RATE", "severity": "Errors by severity"}


def evaluate_reports(
    setting: Setting, system: System, metrics: Sequence[TextMetric]
) -> dict[str, Any]:
    """Let a system report the test images, score what it wrote, and write tables and plots.

    Parameters
    ----------
    setting : Setting
        Data, folder and draws.
    system : System
        Writes the reports.
    metrics : sequence of TextMetric
        The paper's four; what is more goes into a table of its own.

    Returns
    -------
    dict
        What results.json holds.
    """
    items = report_items(setting.store, setting.split, setting.limit or PAPER_REPORTS)

    def lay_out(outputs: Outputs) -> list[Table]:
        scored = score_outputs(metrics, items, outputs)
        write_scores(setting.folder / "scores.csv", items, scored)
        tables = list(_tables(setting, system.name, items, outputs, scored))
        bars(setting.folder / "table2", tables[0], columns=tuple(PAPER_METRICS))
        return tables

    return setting.evaluate(system, items, lay_out)


def _tables(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Outputs,
    scored: Mapping[str, TextScores],
) -> Iterator[Table]:
    """Lay out table 2, other metrics, findings, and the difference of two decodings."""
    draws = setting.draws(items)
    about = setting.table(len(items), "test reports")
    title, notes = about["title"], about["notes"]

    def rows(metrics: Sequence[str]) -> tuple[tuple[Cell, ...], ...]:
        return tuple(
            (f"{name} ({decoding})", *(cell(draws, scores, metric) for metric in metrics))
            for decoding, scores in scored.items()
        )

    said = (*notes, *_ending_notes(outputs), *notes_of(scored.values()))
    yield published.table(2, rows(tuple(PAPER_METRICS.values())), **{**about, "notes": said})
    first = next(iter(scored.values()))
    # each of these counts from 0 to 1 in its own way
    others = [m for m in (*first.scores, *first.missing) if m not in PAPER_METRICS.values()]
    if others:
        columns = ("system", *others)
        yield Table("other_metrics", f"Other metrics{title}", columns, rows(others), notes)
    yield from _findings(setting, items, outputs, about)
    if {"greedy", "sampled"} <= set(scored):
        greedy, sampled = scored["greedy"].scores, scored["sampled"].scores
        figures = [(m, greedy[m], sampled[m]) for m in greedy if m in sampled]
        headed = f"Sampled minus greedy, in pairs{title}"
        yield difference_table(draws, figures, "difference", headed)


def _findings(
    setting: Setting, items: Sequence[Item], outputs: Outputs, about: Mapping[str, Any]
) -> Iterator[Table]:
    """Lay out the findings of each decoding, and write their counts in each report."""
    names, draws = default_vocabulary().findings, setting.draws(items)
    wanted = [read_findings(item.reference) for item in items]
    counted: dict[str, TextScores] = {}
    for decoding, written in outputs.items():
        said, called = [read_findings(output.text) for output in written], f"findings_{decoding}"
        title = f"Findings ({decoding}){about['title']}"
        table = finding_table(draws, wanted, said, names, title, called)
        yield replace(table, notes=about["notes"])
        suffix = f"({decoding}){about['title']}"
        for lay_out, what in ((label_table, "labels"), (severity_table, "severity")):
            headed = f"{_HEADED[what]} {suffix}"
            one = lay_out(draws, wanted, said, headed, f"{what}_{decoding}")
            yield replace(one, notes=(*about["notes"], *one.notes))
        columns = counts(wanted, said, names, "strict").sum(axis=1).T
        counted[decoding] = TextScores(dict(zip(COUNTED, columns, strict=True)), {})
    write_scores(setting.folder / "findings.csv", items, counted)


def _ending_notes(outputs: Outputs) -> Iterator[str]:
    for decoding, written in outputs.items():
        counts = ", ".join(f"{count} {what}" for what, count in endings(written).items())
        yield f"{decoding}: {counts}"
