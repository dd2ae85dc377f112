"""Plots of tables, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.evaluation.metrics.bootstrap import Interval
from training.evaluation.printed.tables import Cell, Table


def bars(path: Path, table: Table, columns: Sequence[str], label: int = 1) -> None:
    """Draw a group of bars for each column, one bar a row, with intervals where there are some.

    Parameters
    ----------
    table : Table
        Whose rows are drawn.
    columns : sequence of str
        Which of its columns.
    path : Path
        Without ending.
    label : int
        Which cell names a row.
    """
    figure, axes = _figure(table.title)
    rows = [row for row in table.rows if any(_figures(row))]
    width = 0.8 / max(1, len(rows))
    for n, row in enumerate(rows):
        figures = _figures([row[table.columns.index(column)] for column in columns])
        drawn = {at + n * width: figure for at, figure in enumerate(figures) if figure}
        axes.bar(
            list(drawn),
            [figure.value for figure in drawn.values()],
            width,
            yerr=_errors(list(drawn.values())),
            label=" ".join(str(row[i]) for i in {0, label}),
            capsize=2,
        )
    axes.set_xticks([at + 0.4 - width / 2 for at in range(len(columns))], columns)
    axes.set_ylabel("percent")
    _save(figure, axes, path)


def lines(
    path: Path, title: str, curves: Sequence[tuple[str, Sequence[int], Sequence[Cell]]]
) -> None:
    """Draw recall over the number of samples, one curve a system and direction.

    Parameters
    ----------
    path : Path
        Without ending.
    title : str
        Above the plot.
    curves : sequence
        Of each: name, numbers of samples, and recall at each.
    """
    figure, axes = _figure(title)
    for name, samples, cells in curves:
        style = "--" if "(paper)" in name else "-"
        figures = [figure or Interval(0, 0, 0) for figure in _figures(cells)]
        values, errors = [figure.value for figure in figures], _errors(figures)
        axes.errorbar(samples, values, errors, fmt=f"o{style}", label=name, capsize=2)
    axes.set_xlabel("pairs in the pool")
    axes.set_ylabel("R@1 in percent")
    _save(figure, axes, path)


def _figure(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, wrap=True)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.set_ylim(0, 100)
    axes.grid(axis="y", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    for ending in (".png", ".svg"):
        figure.savefig(path.with_suffix(ending), dpi=100)


def _figures(cells: Sequence[Cell]) -> list[Interval | None]:
    """The figures among some cells; what was published without interval has one of no length."""
    known = [Interval(cell, cell, cell) if isinstance(cell, float) else cell for cell in cells]
    return [cell if isinstance(cell, Interval) else None for cell in known]


def _errors(figures: Sequence[Interval]) -> list[list[float]]:
    """Lengths below and above each value."""
    return [
        [max(0.0, figure.value - figure.low) for figure in figures],
        [max(0.0, figure.high - figure.value) for figure in figures],
    ]
