"""Stage 1: the vision tower learns what sentences say (paper, section 3.4, table 2).

Beside the SigLIP loss of whole reports two losses make a short run enough: the same loss on single
statements, each scored against every image by its truth, and a linear head that names the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from dicom_io.phantom import Truth
from engine.contrastive import ContrastivePair, pairwise_sigmoid_loss
from training.data.store import as_unit_interval
from training.schedule import optimizer_and_schedule
from training.wording import facts, report_text, statements

STATEMENTS = statements()


class FactHead(nn.Module):
    """Linear probe of the two stages that the projector will see: is each statement true?"""

    def __init__(self, pair: ContrastivePair):
        super().__init__()
        config = pair.vision_encoder.config
        features = sum(tokens * channels for tokens, channels in config.shapes[3:5])
        self.linear = nn.Linear(features, len(STATEMENTS))

    def forward(self, hidden_states: Sequence[Tensor]) -> Tensor:
        """Five hidden states -> logits (B, statements)."""
        tokens = torch.cat([h.flatten(1) for h in hidden_states[3:5]], dim=1)
        logits: Tensor = self.linear(tokens)
        return logits


@dataclass(frozen=True)
class Batch:
    """Images with what is true of them."""

    volumes: Tensor
    truths: list[Truth]


def draw_batch(
    inputs: Sequence[Tensor],
    truths: Sequence[Truth],
    size: int,
    rng: np.random.Generator,
) -> Batch:
    """Draw different studies at random."""
    chosen = rng.choice(len(inputs), size, replace=False)
    volumes = as_unit_interval(torch.stack([inputs[i] for i in chosen]))
    return Batch(volumes, [truths[i] for i in chosen])


def truth_matrix(truths: Sequence[Truth]) -> Tensor:
    """(B, statements): 1 where the statement holds, else 0."""
    return torch.tensor([[float(s.holds(t)) for s in STATEMENTS] for t in truths])


def same_facts(truths: Sequence[Truth]) -> Tensor:
    """(B, B): +1 where two studies have the same facts, so that their reports fit both, else -1."""
    known = [facts(truth) for truth in truths]
    return torch.tensor([[1.0 if a == b else -1.0 for b in known] for a in known])


class ContrastiveStage:
    """One step of stage 1.

    Parameters
    ----------
    pair : ContrastivePair
        The two encoders.
    tokenizer : Tokenizer
        Of the reports.
    steps, learning_rate, weight_decay
        AdamW with warm-up and a cosine (paper, section 3.4).
    """

    def __init__(
        self,
        pair: ContrastivePair,
        tokenizer: Tokenizer,
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        self.pair, self.tokenizer = pair, tokenizer
        self.head = FactHead(pair)
        parameters = [*pair.parameters(), *self.head.parameters()]
        self.optimizer, self.schedule = optimizer_and_schedule(
            parameters, steps, learning_rate, weight_decay
        )

    def step(self, batch: Batch, rng: np.random.Generator) -> float:
        """Take one step of the optimizer and return the loss before it; `rng` draws the wording."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.pair.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Report-level and statement-level SigLIP loss plus the cross-entropy of the fact head."""
        hidden_states = self.pair.vision_encoder(batch.volumes)
        images = F.normalize(self.pair.mm_vision_proj(hidden_states[-1].mean(dim=1)), dim=-1)
        held = truth_matrix(batch.truths)
        wordings = [s.wordings[rng.integers(len(s.wordings))] for s in STATEMENTS]
        reports = [report_text(truth, rng) for truth in batch.truths]
        texts = self.encode([*wordings, *reports])
        similarity = images @ texts.T
        n = len(STATEMENTS)
        t, b = self.pair.t_prime, self.pair.bias
        loss = pairwise_sigmoid_loss(similarity[:, :n], 2 * held - 1, t, b) / n
        loss = loss + pairwise_sigmoid_loss(
            similarity[:, n:], same_facts(batch.truths), t, b
        ) / len(reports)
        return loss + F.binary_cross_entropy_with_logits(self.head(hidden_states), held)

    def encode(self, texts: list[str]) -> Tensor:
        """Texts -> unit vectors (n, width)."""
        encodings = [self.tokenizer.encode(text).ids for text in texts]
        longest = max(map(len, encodings))
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(encodings):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return self.pair.encode_text(ids, mask)
