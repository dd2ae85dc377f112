"""Stage 1: image and text encoder learn what belongs together (paper, section 3.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from dicom_io.errors import RecipeError
from engine.checkpoints.weights import assemble
from engine.network.contrastive import ContrastivePair, Loss, pair_without_weights
from training.data.phantoms.text import FINDINGS_OF
from training.data.store import as_unit_interval
from training.export.model_card import export_pair
from training.learner.material import Material
from training.learner.pair import make_pair, prepare_pair
from training.learner.pairs import PairBatch, Pairs
from training.learner.statements import pair_weights, with_statements
from training.memory.check import require_room
from training.recipe.recipe import Recipe
from training.recipe.stages import Contrastive
from training.run.loop import Trained, train
from training.run.losses import ring_siglip_loss, shared_clip_loss
from training.run.ranks import gathered, rank, world
from training.run.task import Task

LOSSES: Mapping[Loss, Callable[..., Tensor]] = {
    "siglip": ring_siglip_loss,
    "clip": shared_clip_loss,
}


def train_contrastive(
    recipe: Recipe, material: Material, out: Path, start: str | None = None
) -> Path:
    """Run stage 1, and leave the pair in `out/checkpoint`.

    Parameters
    ----------
    recipe : Recipe
        With its table `contrastive`.
    material : Material
        The store and its split.
    out : Path
        Of the run.
    start : str, optional
        A pair to go on from: its folder, or `OWNER/NAME@COMMIT`.

    Returns
    -------
    Path
        Of the checkpoint, which `engine.checkpoints.checkpoint.load_pair` loads.
    """
    stage = recipe.contrastive
    if stage is None:
        raise RecipeError(f"recipe {recipe.name} has no table contrastive")
    pair, tokenizer = make_pair(recipe, stage, start)
    require_room(recipe, "contrastive", pair.config)
    about = {"data": material.describe(), "from": start}
    task: Task[Any] = contrastive_task(pair, tokenizer, recipe, material)
    if stage.statements:
        about_them = FINDINGS_OF[recipe.kind], report_loss(pair, stage)
        task = with_statements(task, tokenizer, *about_them, dense=stage.dense)
    trained = train(task, stage, recipe, out, about)
    checkpoint = out / "checkpoint"
    if trained is not None:
        if stage.statements:
            trained = replace(trained, weights=pair_weights(trained.weights))
        _export(pair, tokenizer, trained, recipe, about, checkpoint)
    return checkpoint


def report_loss(
    pair: ContrastivePair, stage: Contrastive
) -> Callable[[Tensor], Callable[..., Tensor]]:
    """Return what makes the loss of a batch from its groups, which count where they are masked."""
    loss = LOSSES[pair.loss]
    return lambda groups: partial(loss, groups=groups if stage.mask_equal else None)


def contrastive_task(
    pair: ContrastivePair, tokenizer: Tokenizer, recipe: Recipe, material: Material
) -> Task[PairBatch]:
    """Put stage 1 together for `training.run`.

    Parameters
    ----------
    pair, tokenizer : ContrastivePair, Tokenizer
    recipe, material : Recipe, Material
    """
    stage = recipe.contrastive
    assert stage is not None
    prepare_pair(pair, stage, exact_ranks=recipe.run.exact_ranks)
    of_batch = report_loss(pair, stage)

    def loss_sum(module: nn.Module, batch: PairBatch) -> Tensor:
        own = of_batch(batch.groups)
        mean: Tensor = module(_floating(batch.volumes), *batch[1:3], loss=own)
        return mean * len(batch.volumes)

    train_keys, held_out = material.parts["train"], material.parts["validation"]
    validation = Pairs(material.store, held_out[: recipe.run.validation_items], tokenizer)
    return Task(
        name="contrastive",
        module=pair,
        data=Pairs(material.store, train_keys, tokenizer, stage.augment),
        weight=lambda batch: float(len(batch.volumes)),
        loss=loss_sum,
        validate=_Validation(validation, stage.micro_batch, of_batch) if len(validation) else None,
        passes_are_apart=True,
    )


@dataclass(frozen=True)
class _Validation:
    """Loss and R@1 of held-out pairs, whose embeddings the ranks share the work of."""

    pairs: Pairs
    size: int
    loss: Callable[[Tensor], Callable[..., Tensor]]

    def __call__(self, module: nn.Module) -> dict[str, float]:
        device = next(module.parameters()).device
        losses: list[Tensor] = []

        def embeddings(images: Tensor, texts: Tensor, *scalars: Tensor) -> Tensor:
            losses.append(self.loss(groups)(images, texts, *scalars))
            return torch.stack([images, texts], dim=1)

        n, share = len(self.pairs), ceil(len(self.pairs) / world())
        mine = [min(rank() * share + i, n - 1) for i in range(share)]
        found = []
        for first in range(0, share, self.size):
            examples = [
                self.pairs.example(item, np.random.default_rng())
                for item in mine[first : first + self.size]
            ]
            volumes, ids, mask, groups = (part.to(device) for part in self.pairs.collate(examples))
            found.append(module(_floating(volumes), ids, mask, loss=embeddings))
        images, texts = gathered(torch.cat(found).float())[:n].unbind(1)
        similarity = images @ texts.T
        return {
            "loss": gathered(torch.stack(losses)).mean().item(),
            "image_to_text_r1": recall_at_1(similarity),
            "text_to_image_r1": recall_at_1(similarity.T),
        }


def recall_at_1(similarity: Tensor) -> float:
    """Fraction of the rows whose largest value is on the diagonal."""
    own = torch.arange(len(similarity), device=similarity.device)
    return (similarity.argmax(dim=1) == own).float().mean().item()


def _floating(volumes: Tensor) -> Tensor:
    return volumes if volumes.is_floating_point() else as_unit_interval(volumes)


def _export(
    pair: ContrastivePair,
    tokenizer: Tokenizer,
    trained: Trained,
    recipe: Recipe,
    about: dict[str, Any],
    folder: Path,
) -> None:
    whole = assemble(pair_without_weights(pair.config), trained.weights)
    tokenizer.no_truncation()
    export_pair(whole, tokenizer, recipe, about, trained.figures, folder)
