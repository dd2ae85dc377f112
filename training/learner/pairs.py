"""Images with their reports: what stage 1 learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.data.store import Store, as_unit_interval
from training.learner.augmentation import augment


class PairBatch(NamedTuple):
    """Images (B, 1, D, H, W), as integers of the store or augmented, and the tokens of reports."""

    volumes: Tensor
    input_ids: Tensor
    attention_mask: Tensor


@dataclass(frozen=True)
class Pairs:
    """Images with their reports."""

    store: Store
    keys: Sequence[str]
    tokenizer: Tokenizer
    augmented: bool = False

    def __len__(self) -> int:
        return len(self.keys)

    def example(self, item: int, rng: np.random.Generator) -> tuple[Tensor, list[int]]:
        """Read an image and the tokens of its report."""
        key = self.keys[item]
        volume = self.store.stored(key)
        if self.augmented:
            volume = augment(as_unit_interval(volume), rng)
        return volume, self.tokenizer.encode(self.store.report(key)).ids

    def collate(self, examples: list[tuple[Tensor, list[int]]]) -> PairBatch:
        """Pad the reports to the longest."""
        volumes, rows = zip(*examples, strict=True)
        input_ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        attention_mask = torch.zeros_like(input_ids)
        for i, row in enumerate(rows):
            input_ids[i, : len(row)] = torch.tensor(row)
            attention_mask[i, : len(row)] = 1
        return PairBatch(torch.stack(volumes), input_ids, attention_mask)
