"""What stages 2 and 3 begin with, and the module that they train.

Stage 2: a vision tower that has seen reports, a language model, and between them a projector that
has learnt nothing yet (paper, section 3.2.2). Stage 3: what stage 2 left, or published weights.
Training and export build the module alike, so that trained weights find their places by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dicom_io.errors import CheckpointMismatch, RecipeError
from engine.checkpoints.checkpoint import Checkpoint, describe, load_described
from engine.checkpoints.description import Description, ModelCard
from engine.checkpoints.families import build
from engine.checkpoints.layouts.vlm_qwen import TOWER
from engine.checkpoints.loose import load_vision_tower
from engine.checkpoints.weights import assemble
from engine.network.contrastive import ContrastiveConfig
from engine.network.families.med3dvlm import VISION_TOWER, Med3DVLM, Med3DVLMConfig
from engine.network.projector import ProjectorConfig, projector
from training.learner.adapters import add_adapters
from training.learner.answering import Answering
from training.learner.language_model import read_language_model
from training.recipe.recipe import Recipe
from training.recipe.stages import AnswerStage, Finetune
from training.run.recompute import recompute

PROJECTOR = "model.mm_projector."

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
        See `starting_checkpoint`.
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
    """Add the stage's adapters to a model, and freeze what does not learn.

    Parameters
    ----------
    model : Med3DVLM
    stage : AnswerStage
    seed : int
        Of the adapters.
    device : torch.device or str
        Where quantized weights go.
    """
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


def starting_checkpoint(recipe: Recipe, name: str, dtype: torch.dtype) -> Checkpoint:
    """Load what a stage begins with.

    Parameters
    ----------
    recipe : Recipe
    name : str
        A model that writes, native or published; for stage 2 also a contrastive pair, or a loose
        file of a vision tower.
    dtype : torch.dtype
        Of the language model. Vision tower and projector are in float32.

    Raises
    ------
    EngineError, CheckpointMismatch
        It cannot be loaded, or is no such thing.
    RecipeError
        It is not of the recipe's sizes or preprocessing.
    """
    if Path(name).is_file():
        tower = load_vision_tower(Path(name)).state_dict()
        return _begun(recipe, {f"{TOWER}{n}": t for n, t in tower.items()}, name, dtype)
    found = describe(name)
    _require_alike(found, recipe)
    if isinstance(found.network, Med3DVLMConfig):
        return continued(found, dtype)
    if not isinstance(found.network, ContrastiveConfig):
        raise CheckpointMismatch(f"{name} is neither a Med3DVLM nor a contrastive pair")
    encoder = "vision_encoder."
    tower = {
        f"{TOWER}{tensor.removeprefix(encoder)}": value
        for tensor, value in found.tensors().items()
        if tensor.startswith(encoder)
    }
    return _begun(recipe, tower, found.digest, dtype)


def continued(found: Description, dtype: torch.dtype) -> Checkpoint:
    """Load a model that writes, with its projector in full."""
    checkpoint = load_described(found, dtype=dtype)
    tensors = found.tensors()
    for name, parameter in checkpoint.model.named_parameters():
        if name.startswith(PROJECTOR):
            parameter.data = tensors[name].float()
    return checkpoint


def _begun(
    recipe: Recipe, tower: Mapping[str, Tensor], origin: str, dtype: torch.dtype
) -> Checkpoint:
    """Put a new projector between a vision tower and a language model."""
    llm = read_language_model(recipe)
    assert recipe.llm is not None
    config = Med3DVLMConfig(
        recipe.vision_config,
        recipe.projector_config(llm.config.hidden_size),
        llm.config,
        recipe.llm.splice,
    )
    tied = llm.config.tie_word_embeddings
    projector = _untrained_projector(config.projector, recipe.seed)
    tensors = {**llm.tensors, **tower, **projector}
    model = assemble(build(config), tensors, "cpu", dtype, VISION_TOWER, tied=tied)
    for name, tensor in projector.items():
        model.get_parameter(name).data = tensor
    card = ModelCard(recipe.name, "0", provenance={"vision tower": origin, "LLM": llm.digest})
    prompt = replace(llm.prompt, before_question=recipe.llm.before_question)
    return Checkpoint(model, llm.tokenizer, card, prompt, recipe.preprocess_spec)


def _untrained_projector(config: ProjectorConfig, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = projector(config).state_dict()
    return {f"{PROJECTOR}{name}": tensor for name, tensor in state.items()}


def _require_alike(found: Description, recipe: Recipe) -> None:
    wanted: dict[str, Any] = {"preprocess": recipe.preprocess_spec, "vision": recipe.vision_config}
    here = {"preprocess": found.preprocess, "vision": found.network.vision}
    for key, value in wanted.items():
        if here[key] != value:
            raise RecipeError(f"{found.folder} has {key} {here[key]}; the recipe has {value}")
