"""The module that stage 2 or 3 trains, as it is before the first step.

Training and export build it alike, so that trained weights find their places by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from dicom_io.errors import RecipeError
from engine.checkpoints.checkpoint import Checkpoint
from engine.network.med3dvlm import Med3DVLM
from training.recipe.recipe import Recipe
from training.recipe.stages import AnswerStage, Finetune
from training.run.recompute import recompute
from training.stages.adapters import add_adapters
from training.stages.answering import Answering
from training.stages.starting_checkpoint import starting_checkpoint

StageName = Literal["projector", "finetune"]
STAGES: tuple[StageName, ...] = get_args(StageName)

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""Of what is frozen in the language model, by the recipe's precision."""


@dataclass(frozen=True, eq=False)
class Begun:
    """A stage before its first step; `module.model` is the checkpoint's, with adapters."""

    stage: AnswerStage
    checkpoint: Checkpoint
    module: Answering


def table_of(recipe: Recipe, name: StageName) -> AnswerStage:
    """Return a stage's table.

    Raises
    ------
    RecipeError
        The recipe has none.
    """
    stage: AnswerStage | None = getattr(recipe, name)
    if stage is None:
        raise RecipeError(f"recipe {recipe.name} has no table {name}")
    return stage


def begin(recipe: Recipe, name: StageName, start: str, device: torch.device | str = "cpu") -> Begun:
    """Load what the stage begins with and say what of it learns.

    Parameters
    ----------
    recipe : Recipe
    name : {"projector", "finetune"}
    start : str
        See `training.stages.starting_checkpoint.starting_checkpoint`.
    device : torch.device or str
        Where quantized weights go.

    Raises
    ------
    EngineError, RecipeError
        See there.
    """
    stage = table_of(recipe, name)
    checkpoint = starting_checkpoint(recipe, start, DTYPES[recipe.run.precision])
    model = checkpoint.model
    assert isinstance(model, Med3DVLM)
    return Begun(stage, checkpoint, answering(model, stage, recipe.seed, device))


def answering(
    model: Med3DVLM, stage: AnswerStage, seed: int, device: torch.device | str = "cpu"
) -> Answering:
    """Add the stage's adapters to a model, and freeze what does not learn."""
    if isinstance(stage, Finetune):
        add_adapters(
            model,
            rank=stage.lora_rank,
            alpha=stage.lora_alpha,
            dropout=stage.lora_dropout,
            seed=seed,
            quantization=stage.quantization,
            device=device,
        )
    module = Answering(model, stage.train, stage.batch_norm)
    if stage.gradient_checkpointing:
        recompute(model.llm_layers)
    return module
