"""Does a stage fit a GPU, and if not, what to change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import RecipeError, TrainingError
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.description import CONFIG, read_config
from engine.checkpoints.layouts.dec_clip import CLINICAL_BERT
from engine.checkpoints.layouts.vlm_qwen import llm_config
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.network.contrastive import ContrastiveConfig
from engine.network.families.med3dvlm import Med3DVLMConfig
from engine.sizes.memory import PUBLISHED_MODEL
from engine.sizes.tables import QWEN
from training.memory.account import Bytes, Name, Sizes, account
from training.recipe.model import LanguageModel
from training.recipe.recipe import Recipe
from training.recipe.stages import Finetune, Stage
from training.run.console import say
from training.run.launch import launched_rank, launched_ranks, own_device

CLINICAL_BERT_WORDS = 119_547
"""Of its tokenizer, a multilingual one; its other sizes are DistilBERT's own."""

GIB = 2**30
"""As GPUs are made: a card of 24 GB has 24 GiB, of which its driver keeps some."""


def sizes(recipe: Recipe, name: Name, start: str | None = None) -> Sizes:
    """Find out the sizes of a stage's model without reading a weight.

    Parameters
    ----------
    recipe : Recipe
    name : {"contrastive", "projector", "finetune"}
    start : str, optional
        What the stage begins with, where it is the whole model; else the recipe's parts. A recipe
        without a language model goes on from published weights.

    Raises
    ------
    RecipeError
        The recipe's language model or text encoder is a name on the hub whose sizes are not known
        here.
    """
    wanted = ContrastiveConfig if name == "contrastive" else Med3DVLMConfig
    if start is not None and not Path(start).is_file():
        network = describe(start).network
        if isinstance(network, wanted):
            return network
    if name == "contrastive":
        return _pair(recipe)
    if recipe.llm is None:
        return PUBLISHED_MODEL
    llm = _language_model(recipe.llm)
    return Med3DVLMConfig(recipe.vision_config, recipe.projector_config(llm.hidden_size), llm)


def require_room(recipe: Recipe, name: Name, config: Sizes) -> None:
    """Say what a stage takes of this process's GPU, and refuse it where that is too small.

    A run without a GPU counts nothing: to count takes a pass of the whole model.

    Parameters
    ----------
    recipe, name, config
        See `training.memory.account`.

    Raises
    ------
    TrainingError
        It is.
    """
    ranks, device = launched_ranks(), own_device()
    if device.type != "cuda":
        return
    if launched_rank() == 0:
        say(summary(recipe, name, account(recipe, name, config, ranks), ranks))
    if recipe.run.check_memory:
        available = torch.cuda.get_device_properties(device).total_memory
        require_memory(recipe, name, config, ranks, available)


def require_memory(
    recipe: Recipe,
    name: Name,
    config: Sizes,
    ranks: int,
    available: int,
) -> None:
    """Refuse a stage that does not fit.

    Parameters
    ----------
    recipe, name, config, ranks
        See `training.memory.account`.
    available : int
        Bytes of one GPU.

    Raises
    ------
    TrainingError
        It does not fit; the message says what would.
    """
    needed = sum(account(recipe, name, config, ranks).values())
    if needed <= available:
        return
    raise TrainingError(
        f"{name} of recipe {recipe.name} takes {needed / GIB:.1f} GiB of each GPU's "
        f"{available / GIB:.1f} GiB; {advice(recipe, name, config, ranks, available)}"
    )


def advice(
    recipe: Recipe,
    name: Name,
    config: Sizes,
    ranks: int,
    available: int,
) -> str:
    """Say which changes, each beside those before it, make a stage fit.

    Parameters
    ----------
    recipe, name, config, ranks
        See `training.memory.account`.
    available : int
        Bytes of one GPU.
    """
    made: list[str] = []
    for change, changed, on in _changes(recipe, name, ranks):
        made.append(change)
        needed = sum(account(changed, name, config, on).values())
        if needed <= available:
            return f"{', '.join(made)} would take {needed / GIB:.1f} GiB"
    return f"not even {', '.join(made)} would do: it takes larger GPUs"


def summary(recipe: Recipe, name: Name, parts: Bytes, ranks: int) -> str:
    """Say what a stage takes on each GPU, a line for each part.

    Parameters
    ----------
    recipe, name, ranks
        See `training.memory.account`.
    parts : dict of str to int
        What it counted.
    """
    lines = [f"{name} of recipe {recipe.name}, {ranks} GPU{'s' if ranks > 1 else ''}, GiB on each"]
    lines += [f"{size / GIB:8.2f}  {part}" for part, size in parts.items()]
    return "\n".join([*lines, f"{sum(parts.values()) / GIB:8.2f}  in all"])


def _changes(recipe: Recipe, name: Name, ranks: int) -> Iterator[tuple[str, Recipe, int]]:
    """Changes to a recipe, one upon the other, from what costs least to what costs most."""
    stage: Stage | None = getattr(recipe, name)
    assert stage is not None
    wanted: list[tuple[str, bool | int | str]] = [
        ("gradient_checkpointing", True),
        ("micro_batch", 1 if name != "contrastive" else max(1, stage.micro_batch // 4)),
    ]
    if isinstance(stage, Finetune):
        wanted.append(("quantization", "nf4"))
    for key, value in wanted:
        if getattr(stage, key) == value:
            continue
        stage = stage.model_copy(update={key: value})
        recipe = recipe.model_copy(update={name: stage})
        yield f"{name}.{key}={str(value).lower()}", recipe, ranks
    if isinstance(stage, Finetune):  # weights in 4 bit are not spread
        return
    run = recipe.run.model_copy(update={"zero": 3})
    for more in (ranks, 2 * ranks, 4 * ranks, 8 * ranks):
        if more > 1:
            yield f"run.zero=3 on {more} GPUs", recipe.model_copy(update={"run": run}), more


def _pair(recipe: Recipe) -> ContrastiveConfig:
    stage, table = recipe.contrastive, recipe.text_encoder
    if stage is None or table is None:
        raise RecipeError(f"recipe {recipe.name} lacks the table contrastive or text_encoder")
    folder = Path(table.pretrained)
    if table.sizes is not None:
        words = read_tokenizer(folder).get_vocab_size()
        values = table.sizes.model_dump()
        values |= {"vocab_size": words, "max_position_embeddings": table.max_tokens}
        text = DistilBertConfig(**values)
    elif (folder / CONFIG).is_file():
        text = DistilBertConfig.from_dict(read_config(folder))
    elif table.pretrained.partition("@")[0] == CLINICAL_BERT:
        text = DistilBertConfig(vocab_size=CLINICAL_BERT_WORDS)
    else:
        raise RecipeError(f"text_encoder.pretrained is {table.pretrained}: name a folder")
    return ContrastiveConfig(recipe.vision_config, text, stage.width, stage.loss)


def _language_model(table: LanguageModel) -> Qwen2Config:
    folder = Path(table.pretrained)
    if table.sizes is not None and not (folder / CONFIG).is_file():
        words = read_tokenizer(folder).get_vocab_size()
        return Qwen2Config(vocab_size=words, **table.sizes.model_dump())
    if (folder / CONFIG).is_file():
        return llm_config(Qwen2Config, read_config(folder))
    if table.pretrained.partition("@")[0] == "Qwen/Qwen2.5-7B-Instruct":
        return QWEN
    raise RecipeError(f"llm.pretrained is {table.pretrained}: name a folder, to know its sizes")
