"""The paper's own tables (`published.toml`), laid out so that figures of ours stand beside them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from training.evaluation.printed.tables import Cell, Table

PAPER, HERE = "paper", "here"
"""The column `source`: who measured a row."""

DIRECTIONS = (("image → text", "IR"), ("text → image", "TR"))
"""In plain words, and as the paper calls them."""

RANKS = (1, 5, 10)

Recalls = Mapping[str, Sequence[Sequence[Cell]]]
"""By the paper's label of a direction: recalls [K][samples]."""


@dataclass(frozen=True)
class System:
    """What one system reached in retrieval: a block of columns of table 1 or 8."""

    name: str
    samples: Sequence[object]
    recalls: Recalls


def table(number: int, rows: Sequence[Sequence[Cell]], **changes: Any) -> Table:
    """Lay out a table of the paper (2–7, 9–11) with the paper's rows first and then ours.

    Parameters
    ----------
    number : int
    rows : sequence of rows
        Ours: a cell for each column of the paper.
    **changes
        `title` (what is appended to the paper's), `notes`, and `reference=False`, which leaves
        the paper's rows out because they answer another question.
    """
    paper = printed(number)
    reference = paper["rows"] if changes.pop("reference", True) else []
    return Table(
        name=f"table{number}",
        title=f"{paper['title']}{changes.pop('title', '')}",
        columns=("source", *paper["columns"]),
        rows=(*((PAPER, *row) for row in reference), *((HERE, *row) for row in rows)),
        **changes,
    )


def retrieval_table(number: int, systems: Sequence[System], **changes: Any) -> Table:
    """Lay out table 1 or 8: directions and ranks down, systems and numbers of samples across."""
    paper = printed(number)
    shown = list(systems)
    if changes.pop("reference", True):
        published = paper["systems"].items()
        shown[:0] = [System(f"{n} ({PAPER})", paper["samples"], r) for n, r in published]
    return Table(
        name=f"table{number}",
        title=f"{paper['title']}{changes.pop('title', '')}",
        columns=("direction", "R@K", *(f"{s.name} {n}" for s in shown for n in s.samples)),
        rows=tuple(
            (f"{words} ({label})", f"R@{k}", *(c for s in shown for c in s.recalls[label][at]))
            for words, label in DIRECTIONS
            for at, k in enumerate(RANKS)
        ),
        **changes,
    )


def columns(number: int) -> tuple[str, ...]:
    """Return the columns of a table (2–7, 9–11), without `source`."""
    return tuple(printed(number)["columns"])


def printed(number: int) -> Mapping[str, Any]:
    """Return a table as `published.toml` has it."""
    return _tables()[f"table{number}"]


@cache
def _tables() -> dict[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8"))
