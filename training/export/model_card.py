"""What a trained checkpoint says of itself: provenance in config.json, and a model card to read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.checkpoints.checkpoint import save_pair
from engine.checkpoints.description import ModelCard
from engine.network.contrastive import ContrastivePair
from training.recipe.recipe import Recipe

PROGRAMS = ("ctscribe", "torch", "transformers", "accelerate", "deepspeed", "peft")


def provenance(
    recipe: Recipe, stage: str, about: Mapping[str, Any], figures: Mapping[str, float]
) -> dict[str, Any]:
    """Say where weights come from, as JSON values.

    Parameters
    ----------
    recipe : Recipe
    stage : str
        The one that ended.
    about : mapping
        Data and starting point.
    figures : mapping of str to float
        On the validation part.
    """
    return {
        "stage": stage,
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        **about,
        "validation": dict(figures),
        "programs": dict(_versions()),
    }


def export(folder: Path, write: Callable[[Path], Any], readme: str) -> None:
    """Write a checkpoint with its model card; it is complete or not there.

    Parameters
    ----------
    folder : Path
        What was there before goes.
    write : callable
        Writes the checkpoint into the folder that it is given.
    readme : str
        The model card.
    """
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    write(unfinished)
    (unfinished / "README.md").write_text(readme, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def export_pair(
    pair: ContrastivePair,
    tokenizer: Tokenizer,
    recipe: Recipe,
    about: Mapping[str, Any],
    figures: Mapping[str, float],
    folder: Path,
) -> None:
    """Write the pair of stage 1.

    Parameters
    ----------
    pair, tokenizer : ContrastivePair, Tokenizer
    recipe : Recipe
    about : mapping
        What the run was started with.
    figures : mapping
        Of the last validation.
    folder : Path
        Of the checkpoint.
    """
    said = provenance(recipe, "contrastive", about, figures)
    card = ModelCard(f"{recipe.name}-contrastive", "1", provenance=said)
    preprocess = recipe.preprocess_spec
    text = readme(card, "Image and text encoder of stage 1. It retrieves; it writes no report.")
    export(folder, lambda to: save_pair(pair, tokenizer, card, preprocess, to), text)


def readme(card: ModelCard, summary: str, limits: Sequence[str] = ()) -> str:
    """Write the model card: data, recipe, figures, limits.

    Parameters
    ----------
    card : ModelCard
    summary : str
        What was trained, in a sentence.
    limits : sequence of str
        What a user has to know, a sentence each.
    """
    said = card.provenance
    data = said["data"]
    figures = [f"| {name} | {value:.4f} |" for name, value in said["validation"].items()]
    programs = ", ".join(f"{name} {number}" for name, number in said["programs"].items())
    lines = [
        f"# {card.name}",
        "",
        f"{summary} Not a medical device.",
        "",
        "## Data",
        "",
        f"Store of {data['source']}, SHA-256 `{data['digest']}`; split `{data['split']}`: "
        + ", ".join(f"{count} {part}" for part, count in data["images"].items())
        + " images.",
        "",
        "## Figures on the validation part",
        "",
        "| figure | value |",
        "| --- | --- |",
        *figures,
        "",
        "## Limits",
        "",
        LIMITS[data["split"]],
        "Inputs have to be prepared as `preprocess` in config.json says; `ctscribe` does it.",
        *limits,
        "",
        "## Recipe",
        "",
        f"Began from: {said.get('from') or 'no checkpoint'}. Programs: {programs}.",
        "",
        "```json",
        json.dumps(said["recipe"], indent=2),
        "```",
        "",
    ]
    return "\n".join(lines)


LIMITS = {
    "grouped": "No case and no text of the validation part was trained on.",
    "paper": (
        "The split is by file: other series of a validation case, with the same text, were "
        "trained on, so the figures are inflated."
    ),
}


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in PROGRAMS:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
