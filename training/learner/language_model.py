"""The language model of a recipe: published weights, or one that has learnt nothing yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from dicom_io.errors import CheckpointMismatch, RecipeError
from engine.checkpoints.description import Prompt, read_config
from engine.checkpoints.folder import checkpoint_folder, digest_of
from engine.checkpoints.layouts.vlm_qwen import QWEN_EOS, llm_config
from engine.checkpoints.tokenizer_files import eos_token, read_tokenizer, tokenizer_files
from engine.checkpoints.weights import EMBEDDINGS, HEAD, read_tensors, weight_files
from training.recipe.recipe import Recipe


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


def _untrained(config: Qwen2Config, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(Qwen2ForCausalLM(config).state_dict())


def _rows_for(rows: Tensor, known: int, count: int) -> Tensor:
    """Cut off padding; a new token begins as the mean of the others, as in the authors' code."""
    mean = rows[:known].float().mean(dim=0, keepdim=True).to(rows.dtype)
    return torch.cat([rows[:known], mean.expand(count - known, -1)])
