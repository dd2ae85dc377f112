"""`ctscribe model tables`: the paper's tables of sizes, counted anew and compared with it."""

from __future__ import annotations

import json
from itertools import groupby

import click

from engine.sizes.row import Row
from engine.sizes.tables import count_tables

COLUMNS = "{:<28}{:>11}{:>15}{:>12}{:>12}{:>11}  {}"
HEADER = COLUMNS.format("", "parameters", "multiply-adds", "with norms", "paper", "", "agrees")

LEGEND = """\
With norms: plus 5 operations for each value of a LayerNorm and 2 for each of a BatchNorm.
That is fvcore's count, which the paper calls FLOPs."""


def print_tables(*, as_json: bool) -> None:
    """Print parameters, multiply-adds, and what the paper says of both."""
    rows = count_tables()
    if as_json:
        click.echo(json.dumps({"rows": [row_to_dict(row) for row in rows]}, indent=2))
        return
    for table, lines in groupby(rows, key=lambda row: row.table):
        click.echo(f"{table}\n{HEADER}")
        for row in lines:
            click.echo(_line(row).rstrip())
        click.echo()
    click.echo(LEGEND)


def row_to_dict(row: Row) -> dict[str, object]:
    """Plain values that JSON can hold."""
    return {
        "table": row.table,
        "name": row.name,
        "parameters": row.cost.parameters,
        "multiply_adds": row.cost.multiply_adds,
        "with_normalisations": row.cost.with_normalisations,
        "paper": {"parameters": row.paper_parameters, "flops": row.paper_operations},
        "agrees": row.agrees if row.paper_parameters else None,
        "note": row.note,
    }


def _line(row: Row) -> str:
    count = row.cost.parameters
    size = f"{count / 1e9:.3f} B" if count > 1e9 else f"{count / 1e6:.3f} M"
    work, with_norms = (
        f"{n / 1e9:.3f} G" if n else ""
        for n in (row.cost.multiply_adds, row.cost.with_normalisations)
    )
    verdict = ("yes" if row.agrees else f"no: {row.note}") if row.paper_parameters else ""
    return COLUMNS.format(
        row.name, size, work, with_norms, row.paper_parameters, row.paper_operations, verdict
    )
