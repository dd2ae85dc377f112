"""Stages 2 and 3: a model learns to answer about images (paper, sections 3.4.2 and 3.4.3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import send_to_device
from rich.console import Console
from torch import Tensor, nn

from dicom_io.errors import UnusableData
from training.data.splits import Part
from training.data.store import as_unit_interval
from training.export.export import export
from training.export.out_of_distribution import keep_distribution
from training.learner.answering import Answers, Batch, loss, weight
from training.learner.begin import Begun, StageName, begin
from training.learner.features import Features
from training.learner.material import Material
from training.memory.check import require_room, sizes
from training.recipe.recipe import Recipe
from training.run.launch import launched_rank, launched_ranks, own_device
from training.run.loop import train
from training.run.ranks import rank, total, world
from training.run.task import Task
from training.wording.conversation import Script, Turn, turns

_NAMED = 8
"""Unknown words that a refusal names."""


def train_answers(
    name: StageName, recipe: Recipe, material: Material, out: Path, start: str
) -> Path:
    """Run stage 2 or 3, and leave the model in `out/checkpoint`.

    Parameters
    ----------
    name : {"projector", "finetune"}
    recipe : Recipe
        With the table of that name.
    material : Material
        The store and its split.
    out : Path
        Of the run.
    start : str
        What the stage begins with (`training.learner.begin.starting_checkpoint`).

    Returns
    -------
    Path
        Of the checkpoint, which the engine loads; rank 0 has written it.

    Raises
    ------
    CtscribeError
        See `begin`, `turns` and `train`.
    """
    device = own_device()
    require_room(recipe, name, sizes(recipe, name, start))
    begun = begin(recipe, name, start, device)
    about = {
        "data": material.describe(),
        "from": start,
        "digest": begun.checkpoint.digest,
        "precision": recipe.run.precision,
    }
    task = answer_task(name, begun, recipe, material, out, device)
    knows = begun.module.sees or begun.checkpoint.distribution is not None
    if recipe.out_of_distribution is not None and not knows:
        keep_distribution(begun.module.model, material, recipe.out_of_distribution.images, out)
    trained = train(task, begun.stage, recipe, out, about)
    if trained is not None:
        export(recipe, name, trained.weights, out, about, trained.figures)
    return out / "checkpoint"


def answer_task(
    name: StageName,
    begun: Begun,
    recipe: Recipe,
    material: Material,
    out: Path,
    device: torch.device,
) -> Task[Batch]:
    """Put a stage together for `training.run`.

    Parameters
    ----------
    name : {"projector", "finetune"}
    begun : Begun
        The module as it begins.
    recipe, material : Recipe, Material
    out : Path
        Of the run.
    device : torch.device
        Where the vision tower computes features.
    """
    answers = _answers(begun, material, "train")
    if begun.stage.features is not None:
        answers = replace(answers, features=_seen(begun, answers, out, device))
    validate = None
    if material.parts["validation"]:
        validate = Validation(_answers(begun, material, "validation"), recipe)
    return Task(
        name=name,
        module=begun.module,
        data=answers,
        weight=weight,
        loss=loss,
        validate=validate,
    )


@dataclass(frozen=True)
class Validation:
    """The mean loss of a token of held-out answers, whose items the ranks share."""

    data: Answers
    recipe: Recipe

    def __call__(self, module: nn.Module) -> dict[str, float]:
        items = min(self.recipe.run.validation_items, len(self.data))
        share = -(-items // world())
        sums = torch.zeros(2, dtype=torch.float64)
        for place in range(rank() * share, (rank() + 1) * share):
            # every rank passes as often, as ZeRO-3 demands; what is too many counts nothing
            item, counts = min(place, items - 1), float(place < items)
            rng = np.random.default_rng((self.recipe.seed, item))
            batch = self.data.collate([self.data.example(item, rng)])
            moved = send_to_device(batch, next(module.parameters()).device)
            sums += counts * torch.tensor([loss(module, moved).item(), weight(batch)])
        summed, tokens = total(sums.to(next(module.parameters()).device)).tolist()
        return {"loss": summed / tokens}


def _answers(begun: Begun, material: Material, part: Part) -> Answers:
    stage, checkpoint = begun.stage, begun.checkpoint
    script = Script(
        checkpoint.tokenizer,
        checkpoint.prompt,
        begun.module.model.image_token_count,
        stage.max_tokens,
        stage.report_wordings,
    )
    asked = turns(material.store, material.split, part, stage.data)
    if launched_rank() == 0 and part == "train" and (cut := script.cut(asked)):
        Console(stderr=True).print(
            f"{cut} of {len(asked)} answers are longer than {stage.max_tokens} tokens allow; "
            "what is cut off, and their end, is not learnt"
        )
    if part == "train":
        _require_known(script, asked, stage.unknown)
    return Answers(material.store, asked, script, augmented=stage.augment and part == "train")


def _require_known(script: Script, asked: Sequence[Turn], most: float) -> None:
    """Refuse answers in words that the model's tokenizer does not know, which it cannot learn.

    Raises
    ------
    UnusableData
        More than the share `most` of their tokens is unknown.
    """
    tokens, words = script.unknown(asked)
    unknown = words.total()
    if unknown > most * tokens:
        common = ", ".join(word for word, _ in words.most_common(_NAMED))
        raise UnusableData(
            f"{unknown} of {tokens} tokens of the answers ({100 * unknown / tokens:.0f} %) are "
            f"unknown to the model's tokenizer, such as {common}: take a model that knows these "
            "words; `unknown` in the recipe says how many may be unknown"
        )


def _seen(begun: Begun, answers: Answers, out: Path, device: torch.device) -> Features:
    """What the frozen tower sees of the images, computed by all processes together."""
    tower = begun.module.model.get_submodule("model.vision_tower").to(device).eval()
    keys = {turn.image for turn in answers.turns}
    features = Features(out / (begun.stage.features or ""), answers.store, keys, tower)

    def see(stored: Tensor) -> list[Tensor]:
        return begun.module.see(as_unit_interval(stored.to(device)))

    features.compute(see, launched_rank(), launched_ranks())
    while not features.complete:  # others are still at it
        time.sleep(1)
    return features
