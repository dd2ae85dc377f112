"""Tables 1 to 4 of the paper, of several systems' evaluations that lie below one folder."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_io.errors import UnusableData
from training.data.store import SplitName
from training.evaluation.metrics.bootstrap import Interval
from training.evaluation.printed import published
from training.evaluation.printed.published import DIRECTIONS, HERE, PAPER, RANKS, System
from training.evaluation.printed.tables import Cell, Table
from training.evaluation.scores import NOT_COMPUTED
from training.evaluation.setting import SPLITS

COMMANDS = {1: "retrieval", 2: "report", 3: "vqa", 4: "vqa"}
"""Which evaluation makes a table."""

# A row's name ends with how its texts were decoded; the model's own name stands before
_WAY = re.compile(r" \((?P<way>[^()]*)\)$")
_BASELINE = "always"


@dataclass(frozen=True)
class Run:
    """What lies in the folder of one evaluation.

    Parameters
    ----------
    system : str
        The first folder below the one that is joined.
    results : mapping
        What its results.json holds.
    """

    system: str
    results: Mapping[str, Any]

    @property
    def split(self) -> str:
        return str(self.results["split"])

    def table(self, number: int) -> Mapping[str, Any] | None:
        """Return one of its tables as results.json has it."""
        return next((t for t in self.results["tables"] if t["name"] == f"table{number}"), None)


@dataclass
class Reasons:
    """Why cells are empty: each reason once, under a number that stands in the cells."""

    said: list[str] = field(default_factory=list)

    def mark(self, reason: str) -> str:
        """Return the mark of a reason, such as "[2]"."""
        if reason not in self.said:
            self.said.append(reason)
        return f"[{self.said.index(reason) + 1}]"

    def notes(self) -> tuple[str, ...]:
        return tuple(f"[{n}] {reason}" for n, reason in enumerate(self.said, start=1))


def paper_tables(folder: Path) -> list[Table]:
    """Join evaluations into tables 1 to 4, one of each for each split that was evaluated.

    Parameters
    ----------
    folder : Path
        `folder/SYSTEM/…/results.json`: any number of evaluations of each system. A system that is
        called as in the paper (`folder/RadFM`) takes its place in the order of the paper.

    Raises
    ------
    UnusableData
        No evaluation lies below the folder, or one cannot be read.
    """
    runs = list(_runs(folder))
    if not runs:
        raise UnusableData(
            f"{folder} holds no evaluation: let `ctscribe eval` write to {folder}/SYSTEM/NAME"
        )
    splits = [split for split in SPLITS if any(run.split == split for run in runs)]
    return [
        _retrieval(split, runs) if number == 1 else _texts(number, split, runs)
        for split in splits
        for number in COMMANDS
    ]


def _runs(folder: Path) -> Iterator[Run]:
    for path in sorted(folder.glob("*/**/results.json")):
        try:
            results = json.loads(path.read_text("utf-8"))
            run = Run(path.relative_to(folder).parts[0], results)
            if run.split in SPLITS and results["tables"] is not None:
                yield run
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableData(f"{path} is no result of `ctscribe eval`") from error


def _texts(number: int, split: SplitName, runs: Sequence[Run]) -> Table:
    """Lay out table 2, 3 or 4: the paper's rows, then those of each system."""
    paper, reasons, notes = published.printed(number), Reasons(), [SPLITS[split] + "."]
    labels = 2 if number == 3 else 1
    found: dict[str, list[tuple[Cell, ...]]] = defaultdict(list)
    baselines: dict[Cell, tuple[Cell, ...]] = {}
    for run, table in _tables(number, split, runs):
        notes += _about(run, table, paper["title"])
        for row in table["rows"]:
            if row["source"] != HERE:
                continue
            cells = _read([row.get(name) for name in paper["columns"]], table, reasons)
            if str(cells[0]).startswith(_BASELINE):
                baselines.setdefault(cells[0], cells)
            else:
                found[run.system].append((_called(run.system, cells[0]), *cells[1:]))
    rows = [(PAPER, *row) for row in paper["rows"]]
    methods = dict.fromkeys(row[0] for row in paper["rows"])
    for system in _in_order(methods, found):
        if system not in found:
            missing = [_missing(number, split, system, reasons)] * (len(paper["columns"]) - labels)
            found[system] = [(system, *[""] * (labels - 1), *missing)]
        rows += [(HERE, *row) for row in found[system]]
    rows += [(HERE, *row) for row in baselines.values()]
    return Table(
        f"table{number}_{split}",
        f"{paper['title']}, split {split}",
        ("source", *paper["columns"]),
        tuple(rows),
        (*dict.fromkeys(notes), *reasons.notes()),
    )


def _retrieval(split: SplitName, runs: Sequence[Run]) -> Table:
    """Lay out table 1: the paper's systems beside one another, and ours beside them."""
    paper, reasons, notes = published.printed(1), Reasons(), [SPLITS[split] + "."]
    found: dict[str, System] = {}
    for run, one in _tables(1, split, runs):
        notes += _about(run, one, paper["title"])
        found[run.system] = _recalls(run.system, one)
    order = _in_order(paper["systems"], found)
    for system in order:
        if system not in found:
            empty = [[_missing(1, split, system, reasons)] * len(paper["samples"])] * len(RANKS)
            found[system] = System(system, paper["samples"], {d: empty for _, d in DIRECTIONS})
    shown = [found[system] for system in order]
    about = {"title": f", split {split}", "notes": (*dict.fromkeys(notes), *reasons.notes())}
    table = published.retrieval_table(1, shown, **about)
    return Table(f"{table.name}_{split}", table.title, table.columns, table.rows, table.notes)


def _recalls(name: str, table: Mapping[str, Any]) -> System:
    """Read the one system of a table 1 back: its columns are NAME SAMPLES."""
    columns = [c for c in table["rows"][0] if c not in ("direction", "R@K")]
    ours = [column for column in columns if f"({PAPER})" not in column]
    samples = [re.sub(r"^.*?((all )?\d+)$", r"\1", column) for column in ours]
    recalls = {
        label: [
            [_cell(row[column]) for column in ours]
            for row in table["rows"]
            if row["direction"].endswith(f"({label})")
        ]
        for _, label in DIRECTIONS
    }
    return System(name, samples, recalls)


def _tables(
    number: int, split: str, runs: Iterable[Run]
) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    for run in runs:
        table = run.table(number)
        if run.split == split and table is not None:
            yield run, table


def _about(run: Run, table: Mapping[str, Any], title: str) -> Iterator[str]:
    """Say of what a run's figures are, and what its reader must know."""
    counted = table["title"].removeprefix(f"{title}, split {run.split}, ")
    yield f"{run.system}: {counted}."
    general = {f"{meaning}." for meaning in SPLITS.values()}
    yield from (note for note in table["notes"] if note not in general)


def _in_order(paper: Iterable[str], found: Iterable[str]) -> list[str]:
    """The paper's systems, by the names of those that were evaluated, then all others."""
    left = list(found)
    order: list[str] = []
    for name in paper:
        same = [system for system in left if _plain(system) in (_plain(name), _base(name))]
        order += same or ([name] if not _base_among(name, order) else [])
        left = [system for system in left if system not in same]
    return list(dict.fromkeys([*order, *left]))


def _base_among(name: str, order: Iterable[str]) -> bool:
    """Whether a system is there already that is called as this one without what is in brackets."""
    return any(_plain(system) == _base(name) for system in order)


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _base(name: str) -> str:
    return _plain(name.partition(" (")[0])


def _called(system: str, method: Cell) -> str:
    way = _WAY.search(str(method))
    return f"{system} ({way['way']})" if way else system


def _missing(number: int, split: str, system: str, reasons: Reasons) -> str:
    name = system.partition(" (")[0]
    return reasons.mark(
        f"{system} was not evaluated here: `ctscribe eval {COMMANDS[number]} --split {split} … "
        f'--out "DIR/{name}/{COMMANDS[number]}-{split}"`.'
    )


def _read(cells: Sequence[Any], table: Mapping[str, Any], reasons: Reasons) -> tuple[Cell, ...]:
    """Read cells of results.json; where one is empty, the mark of the reason stands."""
    return tuple(_marked(_cell(cell), table, reasons) for cell in cells)


def _marked(cell: Cell, table: Mapping[str, Any], reasons: Reasons) -> Cell:
    if cell is None:
        return reasons.mark("No test question of this type.")
    if cell != NOT_COMPUTED:
        return cell
    why = [note for note in table["notes"] if NOT_COMPUTED in note]
    return reasons.mark(" ".join(why) or "Not computed: the metric's weights were not named.")


def _cell(value: Any) -> Cell:
    return Interval(**value) if isinstance(value, Mapping) else value
