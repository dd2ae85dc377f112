"""A recipe: everything that decides a training run, in one TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from dicom_io.errors import UnusableData
from dicom_io.preprocess import PreprocessSpec
from engine.dcformer import DCFormerConfig
from training.data.splits import Part

FOLDER = Path(__file__).parent / "recipes"


class Table(BaseModel):
    """A table of the file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(Table):
    """One optimisation: AdamW, warm-up, cosine."""

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float


class Finetune(Stage):
    """Stage 3 with its LoRA (paper, section 3.4)."""

    lora_rank: int
    lora_alpha: int
    lora_dropout: float


class TextEncoder(Table):
    """DistilBERT's sizes, and the width of the space shared with the images."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    width: int


class Streams(Table):
    """Tokens after each mixer layer of the two streams."""

    low: tuple[int, ...]
    high: tuple[int, ...]


class Recipe(Table):
    """The whole file."""

    seed: int
    training_seeds: tuple[int, int]
    distribution_seeds: tuple[int, int]
    validation_seeds: tuple[int, int]
    test_seeds: tuple[int, int]
    preprocess: dict[str, Any]
    vision: dict[str, Any]
    text: TextEncoder
    projector: Streams
    llm: dict[str, Any]
    contrastive: Stage
    language: Stage
    projection: Stage
    finetune: Finetune

    @property
    def preprocess_spec(self) -> PreprocessSpec:
        return PreprocessSpec.from_dict(self.preprocess)

    @property
    def seeds(self) -> dict[Part, range]:
        """The phantoms of each part of the store."""
        return {
            "train": range(*self.training_seeds),
            "validation": range(*self.validation_seeds),
            "test": range(*self.test_seeds),
        }

    @property
    def vision_config(self) -> DCFormerConfig:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in self.vision.items()
        }
        return DCFormerConfig(**values)


def load_recipe(name: str | Path) -> Recipe:
    """Read and validate a recipe: a file, or one that comes along by its name.

    Raises
    ------
    UnusableData
        There is none.
    """
    path = FOLDER / f"{name}.toml" if (FOLDER / f"{name}.toml").is_file() else Path(name)
    if not path.is_file():
        raise UnusableData(f"no recipe {name}")
    return Recipe.model_validate(tomllib.loads(path.read_text("utf-8")))
