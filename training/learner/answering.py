"""An image and a question become the loss of the answer: what stages 2 and 3 minimise."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.checkpoints.families import part_of
from engine.network.families.med3dvlm import Med3DVLM
from training.data.store import Store, as_unit_interval
from training.learner.augmentation import augment
from training.learner.features import Features
from training.recipe.stages import Part
from training.wording.conversation import IGNORED, Example, Script, Turn, padded


class Batch(NamedTuple):
    """Some turns.

    Parameters
    ----------
    image : list of Tensor
        One tensor of volumes (B, 1, D, H, W), or the two streams that the projector reads,
        (B, tokens, C) each, where the vision tower has seen the volumes already.
    ids, labels : Tensor of int64, shape (B, n)
        Filled up at the right. See `Example`.
    """

    image: list[Tensor]
    ids: Tensor
    labels: Tensor


class Answering(nn.Module):
    """A model that is taught to answer.

    Parameters
    ----------
    model : Med3DVLM
    trained : collection of str
        Its parts that learn beside adapters; the others are frozen.
    batch_norm : {"frozen", "training"}
        What a frozen vision tower's BatchNorm does: use what stage 1 learnt, or, as in the authors'
        code, the statistics of the batch.
    """

    def __init__(
        self,
        model: Med3DVLM,
        trained: Collection[Part],
        batch_norm: Literal["frozen", "training"] = "frozen",
    ) -> None:
        super().__init__()
        self.model, self.batch_norm = model, batch_norm
        self.sees = "vision tower" in trained
        for name, parameter in model.named_parameters():
            learns = part_of(name) in trained or "lora_" in name
            parameter.requires_grad_(learns and parameter.is_floating_point())

    def train(self, mode: bool = True) -> Answering:
        """Frozen means eval mode: BatchNorm of a frozen vision tower stays as it is."""
        super().train(mode)
        if not self.sees and self.batch_norm == "frozen":
            self.model.get_submodule("model.vision_tower").eval()
        return self

    def forward(self, image: list[Tensor], ids: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of the answers' tokens and ends, summed; see `Batch`.

        Parameters
        ----------
        image : list of Tensor
        ids, labels : Tensor of int64, shape (B, n)
            See `Batch`.
        """
        streams = self.see(image[0]) if len(image) == 1 else image
        # the head is large, so it reads only what precedes a token that is learnt
        learnt = labels[:, 1:] != IGNORED
        return self.loss(self.read(streams, ids)[:, :-1][learnt], labels[:, 1:][learnt])

    def read(self, streams: list[Tensor], ids: Tensor) -> Tensor:
        """Return what the language model makes of an image and ids (B, n): (B, n, width)."""
        embeddings = self.model.embed_prompt(ids, self.model.image_tokens(streams))
        # in the type of the frozen layers, also where the input embeddings learn, in float32
        embeddings = embeddings.to(self.model.model.norm.weight.dtype)
        causal = {"full_attention": None}  # what is filled up at the right is never looked at
        hidden: Tensor = self.model.model(
            inputs_embeds=embeddings, attention_mask=causal, use_cache=False
        ).last_hidden_state
        return hidden

    def loss(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        """Return the cross-entropy, summed: hidden (m, width) and the tokens (m) that follow."""
        logits = self.model.lm_head(hidden)
        return F.cross_entropy(logits.float(), wanted, reduction="sum")

    def see(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> the two streams; a frozen tower runs in float32, as it is served."""
        if self.sees:
            return self.model.encode_image(volume)[-2:]
        with torch.no_grad(), torch.autocast(volume.device.type, enabled=False):
            return self.model.encode_image(volume)[-2:]


def loss(module: nn.Module, batch: Batch) -> Tensor:
    """Sum of the loss over the tokens that are learnt."""
    image = [_in_unit_interval(tensor) for tensor in batch.image]
    summed: Tensor = module(image, batch.ids, batch.labels)
    return summed


def weight(batch: Batch) -> float:
    """Tokens that are learnt: the loss of a step is the mean over those of its global batch."""
    return float((batch.labels[:, 1:] != IGNORED).sum())


def _in_unit_interval(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_floating_point() else as_unit_interval(tensor)


@dataclass(frozen=True, eq=False)
class Answers:
    """Turns as training data (`training.run`).

    Parameters
    ----------
    store : Store
    turns : list of Turn
    script : Script
    features : Features, optional
        What the vision tower saw; without them the volumes are read.
    augmented : bool
        As the authors do (`training.learner.augmentation`).
    """

    store: Store
    turns: list[Turn]
    script: Script
    features: Features | None = None
    augmented: bool = False

    def __len__(self) -> int:
        return len(self.turns)

    def example(self, item: int, rng: np.random.Generator) -> tuple[list[Tensor], Example]:
        """Read an image and write what is asked and answered."""
        turn = self.turns[item]
        example = self.script.example(turn, rng)
        if self.features is not None:
            return self.features.read(turn.image), example
        volume = self.store.stored(turn.image)
        if self.augmented:
            volume = augment(as_unit_interval(volume), rng)
        return [volume], example

    def collate(self, examples: list[tuple[list[Tensor], Example]]) -> Batch:
        """Stack, and fill up at the right: causal attention never looks there."""
        images, texts = zip(*examples, strict=True)
        return Batch(
            [torch.stack(tensors) for tensors in zip(*images, strict=True)],
            padded([text.ids for text in texts], 0),
            padded([text.labels for text in texts], IGNORED),
        )
