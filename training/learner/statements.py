"""What makes stage 1 short on phantoms: single statements, each true or false of an image.

Beside the loss of whole reports stand the SigLIP loss of every statement against every image, and
a linear head on what the projector will read, which names the facts. With the recipe's key `dense`
comes a loss of where each finding lies. Only phantoms come with their truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from dicom_io.errors import UnusableData
from dicom_io.phantoms.truth import FINDINGS, Truth
from engine.network.contrastive import ContrastivePair, pairwise_sigmoid_loss
from engine.network.towers.vision import pooled
from training.data.phantoms.regions import unpacked
from training.data.phantoms.text import statements
from training.data.store import as_unit_interval
from training.learner.dense import DenseHead
from training.learner.pairs import Pairs
from training.run.ranks import world
from training.run.task import Task
from training.wording.conversation import padded

_statements = cache(statements)

TEMPERATURE, BIAS = 10.0, -10.0
"""Where those of statements begin beside CLIP: as SigLIP's, which its statements share."""


class StatementBatch(NamedTuple):
    """A batch of stage 1, and what is true of each image.

    `groups` are those of `PairBatch`. `held` is 1 where a statement is true, else 0: (B,
    statements). `cells` is 1 where a finding lies: (B, findings, d, h, w), of no finding where
    nobody asks for it.
    """

    volumes: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    groups: Tensor
    held: Tensor
    cells: Tensor


class StatementPair(nn.Module):
    """The pair of stage 1 with a linear head that names the facts.

    Parameters
    ----------
    pair : ContrastivePair
        Its text encoder has no dropout, which goes by the items of a batch.
    tokenizer : Tokenizer
        Of the statements.
    findings : tuple of str
        What statements are about.
    dense : bool
        Whether findings are also located (`training.learner.dense`).
    """

    number: Tensor
    ids: Tensor
    mask: Tensor

    def __init__(
        self,
        pair: ContrastivePair,
        tokenizer: Tokenizer,
        findings: tuple[str, ...] = FINDINGS,
        *,
        dense: bool = False,
    ) -> None:
        super().__init__()
        said = _statements(findings)
        wordings = [(i, words) for i, one in enumerate(said) for words in one.wordings]
        self.pair = pair
        streams = pair.vision_encoder.config.shapes[-2:]
        self.head = nn.Linear(sum(n * width for n, width in streams), len(said))
        rows = [torch.tensor(tokenizer.encode(words).ids) for _, words in wordings]
        numbers = torch.tensor([number for number, _ in wordings])
        self.register_buffer("number", numbers, persistent=False)
        self.register_buffer("ids", padded(rows, 0), persistent=False)
        self.register_buffer("mask", padded([torch.ones_like(r) for r in rows], 0), False)
        if pair.loss == "clip":  # it has no bias, and its temperature is of whole reports
            self.t_prime = nn.Parameter(torch.tensor(TEMPERATURE).log())
            self.bias = nn.Parameter(torch.tensor(BIAS))
        # made last: without it everything else begins as it did before there was one
        self.dense = DenseHead(pair.vision_encoder.config, len(findings)) if dense else None

    def forward(
        self,
        volumes: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        held: Tensor | None = None,
        cells: Tensor | None = None,
        *,
        loss: Callable[..., Tensor],
    ) -> Tensor:
        """Return the mean loss of the images; without `held` that of the reports alone.

        Parameters
        ----------
        volumes : Tensor, shape (B, 1, D, H, W)
        input_ids, attention_mask : Tensor, shape (B, n)
            Of the reports.
        held : Tensor, shape (B, statements), optional
            1 where a statement is true of the image, else 0.
        cells : Tensor, shape (B, findings, d, h, w), optional
            1 where a finding lies, else 0.
        loss : callable
            Of the reports.
        """
        pair = self.pair
        hidden = pair.vision_encoder(volumes)
        whole = pooled(hidden[-1], pair.vision_encoder.config)
        images = F.normalize(pair.mm_vision_proj(whole), dim=-1)
        texts = pair.encode_text(input_ids, attention_mask)
        of_reports = loss(images, texts, *pair.scalars)
        if held is None:
            return of_reports
        said = pair.encode_text(self.ids, self.mask)
        true = 2 * held[:, self.number] - 1
        scalars = pair.scalars if pair.loss == "siglip" else (self.t_prime, self.bias)
        of_words = pairwise_sigmoid_loss(images @ said.T, true, *scalars)
        named = self.head(torch.cat([h.flatten(1) for h in hidden[-2:]], dim=1))
        of_facts = F.binary_cross_entropy_with_logits(named.float(), held)
        total = of_reports / (len(texts) * world()) + of_words / len(said) + of_facts
        return total if self.dense is None else total + self.dense(hidden, cells)


@dataclass(frozen=True)
class StatementPairs:
    """Images with their reports, the statements that hold for them, and where findings lie.

    Parameters
    ----------
    pairs : Pairs
    findings : tuple of str
        What statements are about.
    dense : bool
        Whether it is also read where findings lie.
    """

    pairs: Pairs
    findings: tuple[str, ...] = FINDINGS
    dense: bool = False

    def __len__(self) -> int:
        return len(self.pairs)

    def example(self, item: int, rng: np.random.Generator) -> tuple[Any, list[float], Tensor]:
        """Read a pair, and say which statements hold, and where.

        Raises
        ------
        UnusableData
            The store does not know what the image shows, or where.
        """
        store, key = self.pairs.store, self.pairs.keys[item]
        truth = store.images[key].origin.get("truth")
        if truth is None:
            raise UnusableData(f"{store.folder} holds no facts of {key}: it is no phantom")
        shown = Truth.from_dict(truth)
        held = [float(s.holds(shown)) for s in _statements(self.findings)]
        return self.pairs.example(item, rng), held, self._cells(key)

    def _cells(self, key: str) -> Tensor:
        store = self.pairs.store
        regions = store.images[key].origin.get("regions")
        if regions is None and self.dense:
            raise UnusableData(f"{store.folder} does not say where findings lie: make it again")
        located = self.findings if self.dense else ()
        cells = unpacked(regions or {}, located, store.header.spec.size)
        return torch.from_numpy(cells)

    def collate(self, examples: list[tuple[Any, list[float], Tensor]]) -> StatementBatch:
        """Join pairs and truths."""
        pairs, held, cells = zip(*examples, strict=True)
        joined = self.pairs.collate(list(pairs))
        return StatementBatch(*joined, torch.tensor(held), torch.stack(cells))


def with_statements(
    task: Task[Any],
    tokenizer: Tokenizer,
    findings: tuple[str, ...],
    of_reports: Callable[[Tensor], Callable[..., Tensor]],
    *,
    dense: bool,
) -> Task[StatementBatch]:
    """Add the statements to the task of stage 1.

    Parameters
    ----------
    task : Task
    tokenizer : Tokenizer
        Of the statements.
    findings : tuple of str
        What statements are about.
    of_reports : callable
        Groups of a batch -> the loss of its reports.
    dense : bool
        Whether findings are also located.
    """

    def loss(module: nn.Module, batch: StatementBatch) -> Tensor:
        volumes = as_unit_interval(batch.volumes)
        texts, truth = batch[1:3], (batch.held, batch.cells)
        mean: Tensor = module(volumes, *texts, *truth, loss=of_reports(batch.groups))
        return mean * len(volumes)

    return Task(
        name=task.name,
        module=StatementPair(cast(ContrastivePair, task.module), tokenizer, findings, dense=dense),
        data=StatementPairs(cast(Pairs, task.data), findings, dense),
        weight=lambda batch: float(len(batch.volumes)),
        loss=loss,
        validate=task.validate,
    )


def pair_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the pair among those of `StatementPair`."""
    prefix = "pair."
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
