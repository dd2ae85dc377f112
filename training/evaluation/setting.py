"""What an evaluation is of: a store, a split, a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.store import SplitName, Store
from training.evaluation.folder import Output, claimed
from training.evaluation.items import Item, write_items
from training.evaluation.metrics.bootstrap import Bootstrap
from training.evaluation.printed.tables import Table, write_tables
from training.evaluation.scores import endings, versions
from training.evaluation.systems import System

Outputs = Mapping[str, Sequence[Output]]
"""An output for each item, by the way in which it was decoded."""

SPLITS: Mapping[SplitName, str] = {
    "paper": "split paper: the official split, by file; cases and texts of train come again",
    "grouped": "split grouped: no case and no text of train comes again",
}


@dataclass(frozen=True, eq=False)
class Setting:
    """Where and of what an evaluation is.

    Parameters
    ----------
    store : Store
    split : {"paper", "grouped"}
    folder : Path
        Of the results, and of the outputs so far.
    limit : int, optional
        How many items are taken, the first ones.
    resamples, seed : int
        Of the bootstrap.
    """

    store: Store
    split: SplitName
    folder: Path
    limit: int | None = None
    resamples: int = 1000
    seed: int = 0

    def facts(self, system: Mapping[str, Any]) -> dict[str, Any]:
        """Return what decides the outputs, for `folder.claimed`."""
        header = self.store.header
        store = {"source": header.source, "plan": header.plan, "spec": header.spec.to_dict()}
        return {"split": self.split, "store": store, **system}

    def results(self, system: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return what a reader of results.json must know beside the tables."""
        bootstrap = {"resamples": self.resamples, "seed": self.seed, "level": 0.95, "by": "case"}
        return {
            **self.facts(system),
            "split_means": SPLITS[self.split],
            "bootstrap": bootstrap,
            "versions": versions(),
            **more,
        }

    def draws(self, items: Sequence[Item]) -> Bootstrap:
        return Bootstrap(tuple(item.case for item in items), self.resamples, self.seed)

    def evaluate(
        self, system: System, items: Sequence[Item], lay_out: Callable[[Outputs], Sequence[Table]]
    ) -> dict[str, Any]:
        """Let a system write a text for each item, and write the tables that are made of them.

        Parameters
        ----------
        system : System
            Writes the texts.
        items : sequence of Item
            What it is asked.
        lay_out : callable
            Makes tables of the outputs for the items, by the way in which they were decoded.

        Returns
        -------
        dict
            What results.json holds.
        """
        with claimed(self.folder, self.facts(system.facts)):
            write_items(self.folder / "items.jsonl", items)
            outputs = system.texts(items, self.folder)
            ends = {decoding: endings(written) for decoding, written in outputs.items()}
            facts = self.results(system.facts, texts=ends)
            return write_tables(self.folder, lay_out(outputs), facts)

    def table(self, count: int, what: str, *notes: str) -> dict[str, Any]:
        """Return what every table of the paper says here: `title`, `reference`, `notes`."""
        source = self.store.header.source
        said = [
            f"{SPLITS[self.split]}.",
            "95 % intervals: percentile bootstrap by case; Wilson's where no draw differs.",
        ]
        if self.split == "paper" and source != "m3d":
            said.append(
                f"The paper's figures are of M3D, those here of {source}: not the same test."
            )
        return {
            "title": f", split {self.split}, {count} {what} of {source}",
            "reference": self.split == "paper",
            "notes": (*said, *notes),
        }
