"""Memory that a stage takes on one GPU, counted on tensors that hold none, before it begins.

Activations are counted here, operation by operation. What several ranks hold of weights, gradients
and moments is DeepSpeed's own estimate. That is for weights in 16 bit; here those that learn are in
float32, and arithmetic in bfloat16 is autocast's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs
from torch import Tensor, nn

from dicom_io.errors import RecipeError
from engine.checkpoints.families import build
from engine.network.contrastive import ContrastiveConfig, pair_without_weights
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.protocol import Quantization
from engine.sizes.memory import Alive, int8_bytes, nf4_bytes
from training.learner.adapters import adapted_layers
from training.learner.begin import DTYPES, answering
from training.learner.pair import prepare_pair
from training.recipe.recipe import Recipe
from training.recipe.stages import AnswerStage, Contrastive, Finetune, Stage
from training.run.backend import deepspeed_config
from training.run.batch_norm import share_batch_norm
from training.run.dropout import drop_by_items

Name = Literal["contrastive", "projector", "finetune"]

FROZEN, TRAINED = "frozen weights", "weights that learn, their gradients and moments"
ACTIVATIONS, BUCKETS, CUDA = "activations", "buckets of DeepSpeed", "CUDA itself, an allowance"

ALLOWANCE = 2**30
"""For CUDA's context, the workspaces of its libraries and what the allocator cannot use."""

ALONE = 4 + 4 + 8
"""Bytes of a value that learns in one process: itself, its gradient, Adam's two moments."""

META = torch.device("meta")

Bytes = dict[str, int]

Sizes = Med3DVLMConfig | ContrastiveConfig


@dataclass(frozen=True)
class Weights:
    """Of a stage's module.

    Parameters
    ----------
    trained : int
        Values that learn.
    frozen : int
        Bytes of everything else, as they lie on the GPU.
    largest : int
        Bytes of the largest quantized weight in full: one at a time is taken out.
    layer : int
        Values of the largest layer, which ZeRO-3 gathers.
    """

    trained: int
    frozen: int
    largest: int = 0
    layer: int = 0


def account(recipe: Recipe, name: Name, config: Sizes, ranks: int = 1) -> Bytes:
    """Count the bytes that a stage takes on each GPU, by part.

    Parameters
    ----------
    recipe : Recipe
    name : {"contrastive", "projector", "finetune"}
    config : Med3DVLMConfig or ContrastiveConfig
        Sizes of the model.
    ranks : int
        GPUs, on whatever nodes.

    Returns
    -------
    dict of str to int
        Activations are the most that is alive at once beside the other parts in one pass, forward
        and backward, of texts of full length. A vision tower counts in float32, a bound: autocast
        leaves some of its maps there.

    Raises
    ------
    RecipeError
        The recipe has no such stage.
    """
    stage: Stage | None = getattr(recipe, name)
    if stage is None:
        raise RecipeError(f"recipe {recipe.name} has no table {name}")
    dtype = DTYPES[recipe.run.precision]
    module = module_without_memory(stage, config, dtype, exact_ranks=recipe.run.exact_ranks)
    weights = weigh(module, stage)
    parts = spread(weights, recipe.run.zero if ranks > 1 else 0, ranks)
    if ranks > 1 and recipe.run.zero:
        parts[BUCKETS] = _buckets(recipe, stage)
    one_pass = peak_of_a_pass(module, stage, dtype, recipe) + weights.largest
    if dtype != torch.float32:
        one_pass += weights.trained * dtype.itemsize  # autocast's copies
    # Adam's arithmetic takes as much as the weights it moves, when the activations are gone
    parts[ACTIVATIONS] = max(one_pass, 4 * weights.trained)
    return parts | {CUDA: ALLOWANCE}


def module_without_memory(
    stage: Stage, config: Any, dtype: torch.dtype, *, exact_ranks: bool = False
) -> nn.Module:
    """Build a stage's module on tensors that hold no memory; quantized weights stay in full.

    Parameters
    ----------
    stage : Stage
    config : Med3DVLMConfig or ContrastiveConfig
        Sizes of the model.
    dtype : torch.dtype
        Of what is frozen in the language model.
    exact_ranks : bool
        See `training.recipe.recipe.Run`.
    """
    if isinstance(stage, Contrastive):
        pair = pair_without_weights(config).to(META)
        return prepare_pair(pair, stage, exact_ranks=exact_ranks).train()
    assert isinstance(stage, AnswerStage)
    model: Med3DVLM = build(config).to(META, dtype)
    if isinstance(stage, Finetune):
        stage = stage.model_copy(update={"quantization": "none"})
    module = answering(model, stage, seed=0)
    model.get_submodule("model.vision_tower").float()
    return module.train()


def weigh(module: nn.Module, stage: Stage) -> Weights:
    """Count what learns, and the bytes of what does not."""
    trained = [p for p in module.parameters() if p.requires_grad]
    frozen = [p for p in module.parameters() if not p.requires_grad]
    rest = sum(t.nbytes for t in [*frozen, *module.buffers()])
    largest = 0
    quantization = stage.quantization if isinstance(stage, Finetune) else "none"
    if quantization != "none":
        maps = [adapted.get_base_layer() for _, adapted in adapted_layers(module)]
        rest += sum(quantized_bytes(m, quantization) - m.weight.nbytes for m in maps)
        largest = max(m.weight.nbytes for m in maps)
    layer = max(sum(p.numel() for p in m.parameters(recurse=False)) for m in module.modules())
    return Weights(sum(p.numel() for p in trained), rest, largest, layer)


def quantized_bytes(linear: nn.Linear, quantization: Quantization) -> int:
    """Count the bytes of a linear map's weight once it is quantized."""
    return int8_bytes(linear) if quantization == "int8" else nf4_bytes(linear)


def spread(weights: Weights, zero: int, ranks: int) -> Bytes:
    """Share the weights, gradients and moments among ranks.

    Parameters
    ----------
    weights : Weights
    zero, ranks : int
        ZeRO's stage, and how many GPUs.
    """
    trained = weights.trained
    if not zero:
        return {FROZEN: weights.frozen, TRAINED: ALONE * trained}
    in_32_bit = 2 * trained  # more than DeepSpeed reckons with
    if zero == 3:
        _, estimate, _ = estimate_zero3_model_states_mem_needs(
            trained, weights.layer, ranks, cpu_offload=False, cpu_offload_params=False
        )
        return {FROZEN: -(-weights.frozen // ranks), TRAINED: estimate + -(-in_32_bit // ranks)}
    _, estimate = estimate_zero2_model_states_mem_needs(trained, ranks, cpu_offload=False)
    whole_gradients = 4 * trained if zero == 1 else 0
    return {FROZEN: weights.frozen, TRAINED: estimate + in_32_bit + whole_gradients}


def peak_of_a_pass(module: nn.Module, stage: Stage, dtype: torch.dtype, recipe: Recipe) -> int:
    """Count the most bytes that one pass has alive beside weights and gradients.

    Parameters
    ----------
    module : nn.Module
        From `module_without_memory`.
    stage : Stage
    dtype : torch.dtype
        Of what is frozen in the language model.
    recipe : Recipe
    """
    share_batch_norm(module)  # torch's refuses an item of one value, which several ranks may have
    if recipe.run.exact_ranks:
        drop_by_items(module, META).begin(0, 0, torch.zeros(stage.micro_batch, device=META))
    if isinstance(stage, Contrastive):
        inputs, one_pass = _contrastive_pass(module, stage, recipe)
    else:
        inputs, one_pass = _answering_pass(module, stage, dtype)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    with Alive([*module.parameters(), *module.buffers(), *gradients, *inputs]) as alive:
        one_pass()
    return int(alive.peak) + sum(tensor.nbytes for tensor in inputs if tensor.is_floating_point())


def _answering_pass(
    module: Any, stage: Any, dtype: torch.dtype
) -> tuple[list[Tensor], Callable[[], None]]:
    model = module.model
    module.to(dtype)
    model.get_submodule("model.vision_tower").float()
    images = model.image_token_count
    ids = torch.zeros(stage.micro_batch, stage.max_tokens, dtype=torch.long, device=META)
    volume = torch.empty(stage.micro_batch, 1, *model.config.vision.input_size, device=META)

    def one_pass() -> None:
        with torch.set_grad_enabled(module.sees):
            streams = model.encode_image(volume)[-2:]
        hidden = module.read(streams, ids)[:, images:].flatten(0, 1)
        module.loss(hidden, ids[:, images:].flatten()).backward()

    return [ids, volume], one_pass


def _contrastive_pass(
    pair: Any, stage: Contrastive, recipe: Recipe
) -> tuple[list[Tensor], Callable[[], None]]:
    assert recipe.text_encoder is not None
    size = stage.micro_batch
    ids = torch.zeros(size, recipe.text_encoder.max_tokens, dtype=torch.long, device=META)
    volume = torch.empty(size, 1, *recipe.vision_config.input_size, device=META)
    return [ids, volume], lambda: pair(volume, ids, None).backward()


def _buckets(recipe: Recipe, stage: Stage) -> int:
    zero: Mapping[str, Any] = deepspeed_config(recipe.run, stage, 1)["zero_optimization"]
    return 4 * int(zero["reduce_bucket_size"]) * (2 if zero["overlap_comm"] else 1)
