"""A table with intervals and published figures beside it: as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.evaluation.metrics.bootstrap import Interval

Cell = str | Interval | float | None
"""A label; a figure of ours; one that was published, without interval; nothing."""


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    name : str
        Names its files, e.g. "table2".
    title : str
        Says what is shown, and of which split.
    columns : tuple of str
    rows : tuple of tuple
        A cell for each column.
    notes : tuple of str
        What a reader must know, one sentence each.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        lines = [f"### {self.title}", "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line([_shown(cell) for cell in row]) for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """The figures, each with the ends of its interval in two further columns."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        ours = [any(isinstance(cell, Interval) for cell in c) for c in zip(*self.rows, strict=True)]
        widths = [3 if own else 1 for own in ours or [False] * len(self.columns)]
        headings = [[name, f"{name} low", f"{name} high"] for name in self.columns]
        for row in (headings, *(map(_parts, row) for row in self.rows)):
            cells = zip(row, widths, strict=True)
            writer.writerow([part for parts, width in cells for part in parts[:width]])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: one object a row."""
        return {
            "name": self.name,
            "title": self.title,
            "rows": [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows],
            "notes": list(self.notes),
        }


def write_tables(folder: Path, tables: Sequence[Table], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write each table as NAME.md and NAME.csv, and all of them with the facts as results.json.

    Parameters
    ----------
    folder : Path
        Of the evaluation.
    tables : sequence of Table
        What to write.
    facts : mapping of str to Any
        What stands beside them, in values that JSON can hold.

    Returns
    -------
    dict
        What results.json holds.
    """
    for table in tables:
        (folder / f"{table.name}.md").write_text(table.to_markdown(), "utf-8")
        (folder / f"{table.name}.csv").write_text(table.to_csv(), "utf-8")
    results = {**facts, "tables": [table.to_dict() for table in tables]}
    text = json.dumps(results, indent=1, allow_nan=False)
    (folder / "results.json").write_text(text, "utf-8")
    read_back: dict[str, Any] = json.loads(text)
    return read_back


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(cell: Cell) -> str:
    if isinstance(cell, Interval):
        return f"{cell.value:.2f} ({cell.low:.2f} to {cell.high:.2f})"
    if isinstance(cell, float):
        return f"{cell:.2f}"
    return "" if cell is None else cell.replace("|", "\\|")


def _parts(cell: Cell) -> list[str]:
    """A cell, and the ends of its interval."""
    if isinstance(cell, Interval):
        return [f"{part:.4f}" for part in (cell.value, cell.low, cell.high)]
    return [f"{cell:.4f}" if isinstance(cell, float) else cell or "", "", ""]


def _plain(cell: Cell) -> Any:
    return asdict(cell) if isinstance(cell, Interval) else cell
