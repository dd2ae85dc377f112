"""Tables 3 and 4: open and closed questions by type, and those with yes or no."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from training.data.questions import LETTERS, TYPES
from training.evaluation.folder import Output
from training.evaluation.items import Item, Task, question_items
from training.evaluation.metrics.bootstrap import Bootstrap, mean_of_means, summed_by
from training.evaluation.metrics.text_metrics import Scores, TextMetric
from training.evaluation.printed import published
from training.evaluation.printed.plots import bars
from training.evaluation.printed.tables import Cell, Table
from training.evaluation.scores import (
    NOT_COMPUTED,
    PAPER_METRICS,
    TextScores,
    notes_of,
    score_outputs,
    write_scores,
)
from training.evaluation.setting import Outputs, Setting
from training.evaluation.systems import System

NAMES = tuple(TYPES.values())
COLUMNS = (*(name.capitalize() for name in NAMES), "Mean")

Judge = Callable[[Item, Output], bool]
Rows = list[tuple[tuple[str, ...], Scores | None]]
"""The labels of a row, and a score of each item; None where it was not computed."""

Scorer = Callable[[Path, str, Sequence[Item], Outputs], tuple[Rows, tuple[str, ...]]]
"""Folder, name of the system, items of one task and outputs -> rows, and notes below them."""


def evaluate_questions(
    setting: Setting, system: System, metrics: Sequence[TextMetric]
) -> dict[str, Any]:
    """Ask a system the test questions, score its answers, and write tables and plots.

    Parameters
    ----------
    setting : Setting
        Data, folder and draws.
    system : System
        Answers.
    metrics : sequence of TextMetric
        Score open answers.

    Returns
    -------
    dict
        What results.json holds.
    """
    items = question_items(setting.store, setting.split, setting.limit)

    def lay_out(outputs: Outputs) -> list[Table]:
        tables = list(_tables(setting, system.name, items, outputs, metrics))
        for table in tables:
            bars(setting.folder / table.name, _plotted(table), COLUMNS)
        return tables

    return setting.evaluate(system, items, lay_out)


def by_type(draws: Bootstrap, types: Sequence[str], scores: Scores) -> tuple[Cell, ...]:
    """Return the mean of each type in percent, then their unweighted mean.

    Parameters
    ----------
    draws : Bootstrap
        Gives the intervals.
    types : sequence of str
        The type of each item.
    scores : Scores
        One an item.
    """
    groups = [[name] for name in NAMES] + [[name for name in NAMES if name in types]]
    return tuple(
        draws.interval(summed_by(types, group, scores), mean_of_means).times(100)
        if set(group) & set(types)
        else None
        for group in groups
    )


def letter_occurs(item: Item, output: Output) -> bool:
    """The paper's rule: the right letter with a full stop stands anywhere in the answer."""
    return f"{item.letter}." in output.text


def letter_alone(item: Item, output: Output) -> bool:
    """Strict: the answer begins with the right letter and a full stop, and names no other one."""
    named = re.findall(rf"\b([{LETTERS}])\.", output.text)
    return output.text.lstrip().startswith(f"{item.letter}.") and set(named) == {item.letter}


def letter_likeliest(item: Item, output: Output) -> bool:
    """The right letter is the likeliest, whatever was written."""
    return output.choice == item.letter


def first_word(item: Item, output: Output) -> bool:
    """The answer begins with the word that is right: yes or no."""
    words = re.findall(r"\w+", output.text.lower())
    return words[:1] == re.findall(r"\w+", item.reference.lower())[:1]


def leniently(item: Item, output: Output) -> bool:
    """Lenient: the right word is the first one, or stands anywhere and the other one nowhere."""
    words = set(re.findall(r"\w+", output.text.lower())) & {"yes", "no"}
    wanted = set(re.findall(r"\w+", item.reference.lower())) & {"yes", "no"}
    return first_word(item, output) or words == wanted != set()


def judged(judge: Judge, items: Sequence[Item], outputs: Sequence[Output]) -> Scores:
    """Return 1 for every right answer, else 0: shape (n,).

    Parameters
    ----------
    judge : Judge
        Says whether an output is right.
    items, outputs : sequence of Item, sequence of Output
        Questions and answers, in the same order.
    """
    pairs = zip(items, outputs, strict=True)
    return np.array([float(judge(item, output)) for item, output in pairs])


def commonest(items: Sequence[Item], group: Callable[[Item], str]) -> Scores:
    """Return 1 where an answer is the commonest of its group, else 0: what not looking earns."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        counts[group(item)][item.reference] += 1
    best = {name: counter.most_common(1)[0][0] for name, counter in counts.items()}
    return np.array([float(item.reference == best[group(item)]) for item in items])


def _tables(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Outputs,
    metrics: Sequence[TextMetric],
) -> Iterator[Table]:
    """Lay out tables 3 and 4 and that of yes and no, but for what was not asked."""
    scorers: dict[Task, Scorer] = {
        "open": partial(_open, metrics),
        "closed": _closed,
        "yes/no": _yes_no,
    }
    for task, score in scorers.items():
        asked = [item for item in items if item.task == task]
        if not asked:
            continue
        keys = {item.key for item in asked}
        answered = {
            decoding: [output for output in written if output.key in keys]
            for decoding, written in outputs.items()
        }
        scored, notes = score(setting.folder, name, asked, answered)
        draws, types = setting.draws(asked), [item.type for item in asked]
        missing = (NOT_COMPUTED,) * len(COLUMNS)
        rows = [
            (*labels, *(missing if scores is None else by_type(draws, types, scores)))
            for labels, scores in scored
        ]
        yield _table(task, rows, setting.table(len(asked), f"{task} test questions", *notes))


def _table(task: Task, rows: Sequence[Sequence[Cell]], about: dict[str, Any]) -> Table:
    if task != "yes/no":
        return published.table(3 if task == "open" else 4, rows, **about)
    title, columns = f"Questions with yes or no{about['title']}", ("source", "method", *COLUMNS)
    shown = tuple((published.HERE, *row) for row in rows)
    return Table("yes_no", title, columns, shown, about["notes"])


def _open(
    metrics: Sequence[TextMetric], folder: Path, name: str, items: Sequence[Item], outputs: Outputs
) -> tuple[Rows, tuple[str, ...]]:
    scored = score_outputs(metrics, items, outputs)
    write_scores(folder / "scores_open.csv", items, scored)
    rows: Rows = [
        ((f"{name} ({decoding})", column), scores.scores.get(metric))
        for decoding, scores in scored.items()
        for column, metric in PAPER_METRICS.items()
    ]
    return rows, notes_of(scored.values())


def _closed(
    folder: Path, name: str, items: Sequence[Item], outputs: Outputs
) -> tuple[Rows, tuple[str, ...]]:
    right = {
        decoding: {rule: judged(judge, items, written) for rule, judge in _rules(written)}
        for decoding, written in outputs.items()
    }
    accuracies = {
        decoding: TextScores({f"accuracy{rule}": scores for rule, scores in by_rule.items()}, {})
        for decoding, by_rule in right.items()
    }
    write_scores(folder / "scores_closed.csv", items, accuracies)
    rows: Rows = [
        ((f"{name} ({decoding}{rule})",), scores)
        for decoding, by_rule in right.items()
        for rule, scores in by_rule.items()
    ]
    by_kind = commonest(items, lambda item: item.type)
    by_question = commonest(items, lambda item: item.question)
    rows.append((("always the type's commonest answer",), by_kind))
    rows.append((("always the question's commonest answer",), by_question))
    return rows, (
        "Right: the letter and a full stop occur in the answer, as the paper counts.",
        "strict: the answer begins with them and names no other choice.",
        "likeliest letter: by its probability before anything is written.",
    )


def _rules(outputs: Sequence[Output]) -> list[tuple[str, Judge]]:
    rules: list[tuple[str, Judge]] = [("", letter_occurs), (", strict", letter_alone)]
    if any(output.choice for output in outputs):
        rules.append((", likeliest letter", letter_likeliest))
    return rules


def _yes_no(
    folder: Path, name: str, items: Sequence[Item], outputs: Outputs
) -> tuple[Rows, tuple[str, ...]]:
    rules = (("", first_word), (", lenient", leniently))
    rows: Rows = [
        ((f"{name} ({decoding}{rule})",), judged(judge, items, written))
        for decoding, written in outputs.items()
        for rule, judge in rules
    ]
    word, _ = Counter(item.reference for item in items).most_common(1)[0]
    always = [Output(item.key, word) for item in items]
    rows.append(((f"always “{word}”",), judged(first_word, items, always)))
    return rows, (
        "Right: the first word. The paper reports no such table.",
        "lenient: or the right word occurs anywhere, and the other one nowhere.",
    )


def _plotted(table: Table) -> Table:
    """Draw of table 3 the metric that the paper discusses."""
    if "metric" not in table.columns:
        return table
    at = table.columns.index("metric")
    rows = tuple(row for row in table.rows if row[at] == "METEOR")
    return replace(table, title=f"METEOR, {table.title}", rows=rows)
