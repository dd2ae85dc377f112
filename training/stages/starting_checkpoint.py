"""What stages 2 and 3 begin with.

Stage 2: a vision tower that has seen reports, a language model, and between them a projector that
has learnt nothing yet (paper, section 3.2.2). Stage 3: what stage 2 left, or published weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from dicom_io.errors import CheckpointMismatch, RecipeError
from engine.checkpoints.checkpoint import Checkpoint, describe, load_described
from engine.checkpoints.description import Description, ModelCard, Prompt, read_config
from engine.checkpoints.families import build
from engine.checkpoints.hub import checkpoint_folder
from engine.checkpoints.layouts.vlm_qwen import QWEN_EOS, TOWER, llm_config
from engine.checkpoints.loose import load_vision_tower
from engine.checkpoints.manifest import digest_of
from engine.checkpoints.tensor_files import read_tensors, weight_files
from engine.checkpoints.tokenizer_files import eos_token, read_tokenizer, tokenizer_files
from engine.checkpoints.weights import EMBEDDINGS, HEAD, assemble
from engine.network.contrastive import ContrastiveConfig
from engine.network.med3dvlm import VISION_TOWER, Med3DVLMConfig
from engine.network.projector import ProjectorConfig, projector
from training.recipe.recipe import Recipe

PROJECTOR = "model.mm_projector."


@dataclass(frozen=True, eq=False)
class Language:
    """A Qwen2 with its tokenizer, which knows the placeholder of an image token.

    Parameters
    ----------
    config : Qwen2Config
        Its vocabulary is the tokenizer's.
    tensors : mapping
        Its weights, under the names of `Med3DVLM`.
    tokenizer : Tokenizer
    prompt : Prompt
        Placeholder and end of a text.
    digest : str
        Of its files.
    """

    config: Qwen2Config
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer
    prompt: Prompt
    digest: str


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


def read_language_model(recipe: Recipe) -> Language:
    """Read the recipe's language model, and give its tokenizer the placeholder of an image token.

    Raises
    ------
    RecipeError
        The recipe names none.
    CheckpointMismatch
        It is no Qwen2, or damaged.
    """
    if recipe.llm is None:
        raise RecipeError("the recipe has no table llm: which language model?")
    folder = checkpoint_folder(recipe.llm.pretrained)
    tokenizer = read_tokenizer(folder)
    known = tokenizer.get_vocab_size()
    prompt = Prompt("", eos_token=eos_token(folder) or QWEN_EOS)
    tokenizer.add_special_tokens([prompt.image_token])
    count = tokenizer.get_vocab_size()
    if recipe.llm.sizes is not None and not any(folder.glob("*.safetensors")):
        config = Qwen2Config(vocab_size=count, **recipe.llm.sizes.model_dump())
        tensors = _untrained(config, recipe.seed)
        return Language(config, tensors, tokenizer, prompt, f"untrained, seed {recipe.seed}")
    values = read_config(folder)
    if values.get("model_type") != "qwen2":
        raise CheckpointMismatch(f"{folder} has model_type {values.get('model_type')!r}, not qwen2")
    config = llm_config(Qwen2Config, {**values, "vocab_size": count})
    weights = weight_files(folder)
    tensors = read_tensors(weights)
    for name in {EMBEDDINGS, HEAD} & tensors.keys():
        tensors[name] = _rows_for(tensors[name], known, count)
    digest = digest_of([*tokenizer_files(folder), *weights])
    return Language(config, tensors, tokenizer, prompt, digest)


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
    return Checkpoint(model, llm.tokenizer, card, llm.prompt, recipe.preprocess_spec)


def _untrained_projector(config: ProjectorConfig, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = projector(config).state_dict()
    return {f"{PROJECTOR}{name}": tensor for name, tensor in state.items()}


def _untrained(config: Qwen2Config, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(Qwen2ForCausalLM(config).state_dict())


def _rows_for(rows: Tensor, known: int, count: int) -> Tensor:
    """Cut off padding; a new token begins as the mean of the others, as in the authors' code."""
    mean = rows[:known].float().mean(dim=0, keepdim=True).to(rows.dtype)
    return torch.cat([rows[:known], mean.expand(count - known, -1)])


def _require_alike(found: Description, recipe: Recipe) -> None:
    wanted: dict[str, Any] = {"preprocess": recipe.preprocess_spec, "vision": recipe.vision_config}
    here = {"preprocess": found.preprocess, "vision": found.network.vision}
    for key, value in wanted.items():
        if here[key] != value:
            raise RecipeError(f"{found.folder} has {key} {here[key]}; the recipe has {value}")
