"""Tables 3 and 4: open and closed questions by type, and those with yes or no."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from training.data.questions import LETTERS, TYPES
from training.evaluation import published
from training.evaluation.folder import Output, claimed
from training.evaluation.items import Item, Task, question_items, write_items
from training.evaluation.metrics.bootstrap import Bootstrap, mean_of_means, summed_by
from training.evaluation.metrics.text_metrics import Scores, TextMetric
from training.evaluation.plots import bars
from training.evaluation.reports import PAPER_METRICS, write_scores
from training.evaluation.scores import TextScores, endings, notes_of, score_texts
from training.evaluation.setting import Setting
from training.evaluation.systems import System
from training.evaluation.tables import Cell, Table, write_tables

NAMES = tuple(TYPES.values())
COLUMNS = (*(name.capitalize() for name in NAMES), "Mean")

Judge = Callable[[Item, Output], bool]
LayOut = Callable[
    [Setting, str, Sequence[Item], Mapping[str, Sequence[Output]], Sequence[TextMetric]], Table
]


def evaluate_questions(
    setting: Setting, system: System, metrics: Sequence[TextMetric]
) -> dict[str, Any]:
    """Ask a system the test questions, score its answers, and write tables and plots.

    Returns
    -------
    dict
        What results.json holds.
    """
    items = question_items(setting.store, setting.split, setting.limit)
    with claimed(setting.folder, setting.facts(system.facts)):
        write_items(setting.folder / "items.jsonl", items)
        outputs = system.texts(items, setting.folder)
        tables = question_tables(setting, system.name, items, outputs, metrics)
        for table in tables:
            bars(setting.folder / table.name, _plotted(table), COLUMNS)
        facts = setting.results(
            system.facts, texts={d: endings(written) for d, written in outputs.items()}
        )
        return write_tables(setting.folder, tables, facts)


def question_tables(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Mapping[str, Sequence[Output]],
    metrics: Sequence[TextMetric],
) -> list[Table]:
    """Lay out tables 3 and 4 and that of yes and no, but for what was not asked."""
    layouts: dict[Task, LayOut] = {"open": _open, "closed": _closed, "yes/no": _yes_no}
    tables = []
    for task, lay_out in layouts.items():
        asked, answered = _of(task, items, outputs)
        if asked:
            tables.append(lay_out(setting, name, asked, answered, metrics))
    return tables


def by_type(draws: Bootstrap, types: Sequence[str], scores: Scores) -> tuple[Cell, ...]:
    """Return the mean of each type in percent, then their unweighted mean."""
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


def judged(judge: Judge, items: Sequence[Item], outputs: Sequence[Output]) -> Scores:
    """Return 1 for every right answer, else 0: shape (n,)."""
    pairs = zip(items, outputs, strict=True)
    return np.array([float(judge(item, output)) for item, output in pairs])


def commonest(items: Sequence[Item], group: Callable[[Item], str]) -> Scores:
    """Return 1 where an answer is the commonest of its group, else 0: what not looking earns."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        counts[group(item)][item.reference] += 1
    best = {name: counter.most_common(1)[0][0] for name, counter in counts.items()}
    return np.array([float(item.reference == best[group(item)]) for item in items])


def _open(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Mapping[str, Sequence[Output]],
    metrics: Sequence[TextMetric],
) -> Table:
    draws = setting.draws(items)
    scored = {
        decoding: score_texts(metrics, items, [output.text for output in written])
        for decoding, written in outputs.items()
    }
    write_scores(setting.folder / "scores_open.csv", items, scored)
    rows = [
        (f"{name} ({decoding})", column, *_types(draws, items, scores, metric))
        for decoding, scores in scored.items()
        for column, metric in PAPER_METRICS.items()
    ]
    about = setting.table(len(items), "open test questions")
    notes = (*about["notes"], *notes_of(scored.values()))
    return published.table(3, rows, **{**about, "notes": notes})


def _types_of(items: Sequence[Item]) -> list[str]:
    return [item.type for item in items]


def _types(
    draws: Bootstrap, items: Sequence[Item], scored: TextScores, metric: str
) -> tuple[Cell, ...]:
    if metric in scored.scores:
        return by_type(draws, _types_of(items), scored.scores[metric])
    return ("not computed",) * len(COLUMNS)


def _closed(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Mapping[str, Sequence[Output]],
    metrics: Sequence[TextMetric],
) -> Table:
    draws = setting.draws(items)
    right = {
        decoding: {rule: judged(judge, items, written) for rule, judge in _rules(written)}
        for decoding, written in outputs.items()
    }
    rows = [
        (f"{name} ({decoding}{rule})", *by_type(draws, _types_of(items), scores))
        for decoding, by_rule in right.items()
        for rule, scores in by_rule.items()
    ]
    blind = {
        "always the type's commonest answer": commonest(items, lambda item: item.type),
        "always the question's commonest answer": commonest(items, lambda item: item.question),
    }
    rows += [(label, *by_type(draws, _types_of(items), scores)) for label, scores in blind.items()]
    accuracies = {
        decoding: TextScores({f"accuracy{rule}": scores for rule, scores in by_rule.items()}, {})
        for decoding, by_rule in right.items()
    }
    write_scores(setting.folder / "scores_closed.csv", items, accuracies)
    about = setting.table(len(items), "closed test questions")
    notes = (
        *about["notes"],
        "Right: the letter and a full stop occur in the answer, as the paper counts.",
        "strict: the answer begins with them and names no other choice.",
        "likeliest letter: by its probability before anything is written.",
    )
    return published.table(4, rows, **{**about, "notes": notes})


def _rules(outputs: Sequence[Output]) -> list[tuple[str, Judge]]:
    rules: list[tuple[str, Judge]] = [("", letter_occurs), (", strict", letter_alone)]
    if any(output.choice for output in outputs):
        rules.append((", likeliest letter", letter_likeliest))
    return rules


def _yes_no(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    outputs: Mapping[str, Sequence[Output]],
    metrics: Sequence[TextMetric],
) -> Table:
    draws, types = setting.draws(items), _types_of(items)
    rows: list[tuple[Cell, ...]] = [
        (
            "here",
            f"{name} ({decoding})",
            *by_type(draws, types, judged(first_word, items, written)),
        )
        for decoding, written in outputs.items()
    ]
    word, _ = Counter(item.reference for item in items).most_common(1)[0]
    always = [Output(item.key, word) for item in items]
    label = f"always “{word}”"
    rows.append(("here", label, *by_type(draws, types, judged(first_word, items, always))))
    about = setting.table(len(items), "yes/no test questions")
    return Table(
        "yes_no",
        f"Questions with yes or no{about['title']}",
        ("source", "method", *COLUMNS),
        tuple(rows),
        (*about["notes"], "Right: the first word. The paper reports no such table."),
    )


def _of(
    task: Task, items: Sequence[Item], outputs: Mapping[str, Sequence[Output]]
) -> tuple[list[Item], dict[str, list[Output]]]:
    keys = {item.key for item in items if item.task == task}
    return [item for item in items if item.key in keys], {
        decoding: [output for output in written if output.key in keys]
        for decoding, written in outputs.items()
    }


def _plotted(table: Table) -> Table:
    """Draw of table 3 the metric that the paper discusses."""
    if "metric" not in table.columns:
        return table
    at = table.columns.index("metric")
    rows = tuple(row for row in table.rows if row[at] == "METEOR")
    return Table(table.name, f"METEOR, {table.title}", table.columns, rows)
