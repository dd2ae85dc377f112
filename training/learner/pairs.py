"""Images with their reports: what stage 1 learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from dicom_io.phantoms.truth import Truth
from training.data.phantoms.text import facts
from training.data.store import Store, as_unit_interval
from training.learner.augmentation import augment


class PairBatch(NamedTuple):
    """Images (B, 1, D, H, W), as integers of the store or augmented, and the tokens of reports.

    Reports that say the same are of one group: (B,), integers.
    """

    volumes: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    groups: Tensor


@dataclass(frozen=True)
class Pairs:
    """Images with their reports."""

    store: Store
    keys: Sequence[str]
    tokenizer: Tokenizer
    augmented: bool = False

    def __len__(self) -> int:
        return len(self.keys)

    def example(self, item: int, rng: np.random.Generator) -> tuple[Tensor, list[int], int]:
        """Read an image, the tokens of its report, and its group."""
        key = self.keys[item]
        volume = self.store.stored(key)
        if self.augmented:
            volume = augment(as_unit_interval(volume), rng)
        report = self.store.report(key)
        return volume, self.tokenizer.encode(report).ids, group(self.store, key, report)

    def collate(self, examples: list[tuple[Tensor, list[int], int]]) -> PairBatch:
        """Pad the reports to the longest."""
        volumes, rows, groups = zip(*examples, strict=True)
        input_ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        attention_mask = torch.zeros_like(input_ids)
        for i, row in enumerate(rows):
            input_ids[i, : len(row)] = torch.tensor(row)
            attention_mask[i, : len(row)] = 1
        return PairBatch(torch.stack(volumes), input_ids, attention_mask, torch.tensor(groups))


def group(store: Store, key: str, report: str) -> int:
    """Return a number that all images share whose reports say the same.

    Parameters
    ----------
    store : Store
        Knows the facts of a phantom; of any other image the words of its report count.
    key : str
        The image.
    report : str
    """
    truth = store.images[key].origin.get("truth")
    said = report if truth is None else repr(facts(Truth.from_dict(truth)))
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:7])  # fits an int64
