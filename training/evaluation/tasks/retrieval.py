"""Tables 1 and 8: which text belongs to an image, and which image to a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dicom_io.errors import UnusableData
from training.data.splits import normalised
from training.evaluation.embeddings import Embeddings, PairSystem
from training.evaluation.folder import claimed
from training.evaluation.items import Item, report_items, write_items
from training.evaluation.printed import published
from training.evaluation.printed.plots import lines
from training.evaluation.printed.published import DIRECTIONS, RANKS, System
from training.evaluation.printed.tables import Cell, Table, write_tables
from training.evaluation.scores import TextScores, percent, write_scores
from training.evaluation.setting import Setting

SAMPLES = (100, 500, 1000, 2000)
"""Pools of the paper: the first pairs of the test part."""

Array = NDArray[np.float64]


def evaluate_retrieval(
    setting: Setting, system: PairSystem | Embeddings, batch: int = 8
) -> dict[str, Any]:
    """Embed the test pairs, count recalls in growing pools, and write tables and plots.

    Parameters
    ----------
    setting : Setting
        Data, folder and draws.
    system : PairSystem or Embeddings
        Embeds, or holds what was embedded.
    batch : int
        Images at once.

    Returns
    -------
    dict
        What results.json holds.
    """
    items = report_items(setting.store, setting.split, setting.limit)
    with claimed(setting.folder, setting.facts(system.facts)):
        write_items(setting.folder / "items.jsonl", items)
        images, texts = system.embed(setting, items, batch)
        similarity = closest(images, texts).double().numpy()
        tables = retrieval_tables(setting, system.name, items, similarity)
        if images.ndim == 3:
            tables += _of_mean_slices(setting, system.name, items, images, texts)
        write_scores(setting.folder / "scores.csv", items, {"all": _hits(similarity)})
        pools = {str(n): _hits(similarity[:n, :n]) for n in pool_sizes(len(items))}
        write_scores(setting.folder / "pools.csv", items, pools)
        _plot(setting.folder / "table1", tables[0])
        facts = setting.results(system.facts, pairs=len(items))
        return write_tables(setting.folder, tables, facts)


def closest(images: Tensor, texts: Tensor) -> Tensor:
    """Similarity (images, texts); of an image of several slices, that of the most similar one."""
    similarity = images @ texts.T
    return similarity.amax(dim=1) if images.ndim == 3 else similarity


def _of_mean_slices(
    setting: Setting, name: str, items: Sequence[Item], images: Tensor, texts: Tensor
) -> list[Table]:
    """The same tables with the mean of the slices, so that nobody suspects a weak rule."""
    mean = F.normalize(images.mean(dim=1), dim=1)
    similarity = (mean @ texts.T).double().numpy()
    tables = retrieval_tables(setting, f"{name}, mean of slices", items, similarity)
    return [replace(table, name=f"{table.name}_mean_of_slices") for table in tables]


def ranks(similarity: Array, groups: Sequence[object] | None = None) -> NDArray[np.int_]:
    """Count for each row the wrong columns that are as similar as the right one, or more: (n,).

    Parameters
    ----------
    similarity : ndarray, shape (n, n)
        Row i and column i belong together.
    groups : sequence, optional
        Columns of the row's group are right as well; without it the diagonal alone (strict).

    Notes
    -----
    A tie counts against the row, so a model that finds everything equal finds nothing.
    """
    right = np.eye(len(similarity), dtype=bool)
    if groups is not None:
        names = np.unique(np.array([str(g) for g in groups]), return_inverse=True)[1]
        right = names[:, None] == names
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
    return np.asarray((~right & (similarity >= best)).sum(axis=1))


def retrieval_tables(
    setting: Setting, name: str, items: Sequence[Item], similarity: Array, number: int = 1
) -> list[Table]:
    """Lay out table 1 (or 8), and the same where equal texts stand for each other.

    Parameters
    ----------
    setting : Setting
        Draws and folder.
    name : str
        Of the system.
    items : sequence of Item
        The pairs.
    similarity : array
        Shape (images, texts).
    number : int
        Of the paper's table.
    """
    texts = [normalised(item.reference) for item in items]
    notes = (
        "Strict diagonal: of several equal texts only the image's own is right, and ties count as "
        "misses.",
        f"{len(texts) - len(set(texts))} of {len(texts)} texts say what another one in the pool "
        "says.",
    )
    systems = [recalls(setting, name, items, similarity)]
    about = setting.table(len(items), "test pairs", *notes)
    strict = published.retrieval_table(number, systems, **about)
    systems = [recalls(setting, name, items, similarity, texts)]
    about = {**setting.table(len(items), "test pairs"), "reference": False}
    about["title"] += ", equal texts stand for each other"
    by_text = published.retrieval_table(number, systems, **about)
    return [strict, replace(by_text, name=f"{by_text.name}_by_text")]


def recalls(
    setting: Setting,
    name: str,
    items: Sequence[Item],
    similarity: Array,
    groups: Sequence[object] | None = None,
) -> System:
    """Count R@1, R@5 and R@10 both ways in the paper's pools, if there are pairs, and in all.

    Parameters
    ----------
    setting : Setting
        Draws.
    name : str
        Of the system.
    items : sequence of Item
        The pairs.
    similarity : array
        Shape (images, texts).
    groups : sequence, optional
        Pairs of one group stand for each other.
    """
    pools = pool_sizes(len(items))
    by_label: dict[str, list[list[Cell]]] = {}
    for label, matrix in both_ways(similarity).items():
        columns = []
        for n in pools:
            draws, found = setting.draws(items[:n]), ranks(matrix[:n, :n], groups and groups[:n])
            columns.append([percent(draws, (found < k).astype(float)) for k in RANKS])
        by_label[label] = [list(row) for row in zip(*columns, strict=True)]
    names = [n if n in SAMPLES else f"all {n}" for n in pools]
    return System(name, names, by_label)


def both_ways(similarity: Array) -> dict[str, Array]:
    """Return the similarities to look along the rows of, by the paper's label of a direction."""
    labels = (label for _, label in DIRECTIONS)
    return dict(zip(labels, (similarity, similarity.T), strict=True))


def pool_sizes(n: int) -> list[int]:
    """Return the paper's pools that n pairs fill, and n itself."""
    if n == 0:
        raise UnusableData("there is no pair to retrieve")
    return [*(size for size in SAMPLES if size < n), n]


def _hits(similarity: Array) -> TextScores:
    """Tell for every pair whether it was found, in the pool of all."""
    found = {label: ranks(matrix) for label, matrix in both_ways(similarity).items()}
    hits = {f"{label} R@{k}": (found[label] < k).astype(float) for label in found for k in RANKS}
    return TextScores(hits, {})


def _plot(path: Path, table: Table) -> None:
    """Draw R@1 over the size of the pool."""
    curves: dict[str, tuple[list[int], list[Cell]]] = {}
    for row in table.rows[:: len(RANKS)]:
        for column, cell in zip(table.columns[2:], row[2:], strict=True):
            system, _, size = column.rpartition(" ")
            name = f"{system.removesuffix(' all')}, {row[0]}"
            sizes, cells = curves.setdefault(name, ([], []))
            sizes.append(int(size))
            cells.append(cell)
    lines(path, table.title, [(name, sizes, cells) for name, (sizes, cells) in curves.items()])
