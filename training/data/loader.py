"""Batches of images with their reports from a store."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.data.sampler import Batches
from training.data.store import Store


class Pairs:
    """Images with their reports, as torch's DataLoader wants a data set."""

    def __init__(self, store: Store, keys: Sequence[str]) -> None:
        self.store, self.keys = store, list(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        key = self.keys[index]
        return self.store.stored(key), self.store.report(key)


def collate(pairs: Sequence[tuple[Tensor, str]]) -> tuple[Tensor, list[str]]:
    """Stack to integers (B, 1, D, H, W) and B reports; `as_unit_interval` belongs on the device."""
    images, reports = zip(*pairs, strict=True)
    return torch.stack(images), list(reports)


def load_pairs(
    pairs: Pairs, batches: Batches, *, workers: int = 0
) -> DataLoader[tuple[Tensor, list[str]]]:
    """Read batches ahead in `workers` processes; 0 reads in this one."""
    return DataLoader(
        pairs,  # type: ignore[arg-type]  # a data set is whatever has a length and items
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=False,
    )
