"""What the paper's ablations compare: its tables 5 to 11 as lists of variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from dicom_io.errors import RecipeError
from engine.network.contrastive import Loss
from engine.network.projector import Kind
from training.recipe.model import Vision
from training.recipe.recipe import Ablation, Recipe

Tower = Literal["ViT3D", "DCFormer"]
Projector = Literal["2xMLP", "2xMLP-H", "1xMLP-Mixer-H", "2xMLP-Mixer-H"]

TOWERS: tuple[Tower, ...] = get_args(Tower)
LOSSES: Mapping[Loss, str] = {"clip": "CLIP", "siglip": "SigLIP"}
KINDS: Mapping[Projector, Kind] = {
    "2xMLP": "mlp",
    "2xMLP-H": "low_high_mlp",
    "1xMLP-Mixer-H": "mixer",
    "2xMLP-Mixer-H": "mixer",
}


@dataclass(frozen=True)
class Pair:
    """A variant of stage 1."""

    tower: Tower
    loss: Loss

    @property
    def name(self) -> str:
        return f"{self.tower} {LOSSES[self.loss]}"

    @property
    def slug(self) -> str:
        return slug(self.name)

    def recipe(self, base: Recipe) -> Recipe:
        """Return the base recipe with this tower and loss."""
        vision, stage = base.vision, base.contrastive
        if stage is None:
            raise RecipeError(f"recipe {base.name} has no table contrastive")
        if self.tower == "ViT3D":
            if settings(base).vit3d is None:
                raise RecipeError(f"recipe {base.name} has no table ablation.vit3d")
            vision = Vision(vit3d=settings(base).vit3d)
        stage = stage.model_copy(update={"loss": self.loss})
        return base.model_copy(update={"vision": vision, "contrastive": stage})


@dataclass(frozen=True)
class Model:
    """A variant of stages 2 and 3, behind the vision tower of a pair.

    Parameters
    ----------
    pair : Pair
    projector : str
    shared : bool
        Whether all seeds share one tower, that of the recipe's own seed: what then differs is the
        projector alone.
    """

    pair: Pair
    projector: Projector
    shared: bool = False

    @property
    def name(self) -> str:
        return f"{self.pair.name} {self.projector}"

    @property
    def slug(self) -> str:
        return slug(self.name)

    def recipe(self, base: Recipe) -> Recipe:
        """Return the base recipe with this tower and projector.

        1×Mixer-H goes to the last number of tokens at once, as the paper's does (table 9).
        """
        mixer = base.mixer.model_copy(update={"kind": KINDS[self.projector]})
        if self.projector == "1xMLP-Mixer-H":
            last = {"low": mixer.low[-1:], "high": mixer.high[-1:]}
            mixer = mixer.model_copy(update=last)
        return self.pair.recipe(base).model_copy(update={"mixer": mixer})


def slug(name: str) -> str:
    """Return a variant's name as its folder has it: "DCFormer CLIP" -> "dcformer-clip"."""
    return name.lower().replace(" ", "-")


def settings(recipe: Recipe) -> Ablation:
    """Return the recipe's table of this command.

    Raises
    ------
    RecipeError
        It has none.
    """
    if recipe.ablation is None:
        raise RecipeError(f"recipe {recipe.name} has no table ablation")
    return recipe.ablation


@dataclass(frozen=True)
class Row:
    """A row of one of the paper's tables: its first cells, and in words."""

    cells: tuple[str, ...]
    model: Model
    words: str


SIGLIP = Pair("DCFormer", "siglip")
FULL = Model(SIGLIP, "2xMLP-Mixer-H")

PAIRS = tuple(Pair(tower, loss) for tower in TOWERS for loss in LOSSES)
"""Table 8, from left to right."""

COMPONENTS = (
    Row(
        ("✓", "", "✓"), Model(Pair("DCFormer", "clip"), "2xMLP-Mixer-H"), "the model without SigLIP"
    ),
    Row(("✓", "✓", ""), Model(SIGLIP, "2xMLP"), "the model without MLP-Mixer"),
    Row(
        ("", "✓", ""),
        Model(Pair("ViT3D", "siglip"), "2xMLP"),
        "the model without DCFormer and MLP-Mixer",
    ),
    Row(("✓", "✓", "✓"), FULL, "the full model"),
)
"""Tables 5 to 7, in their order; the paper's text says what is left out, its check marks do not."""

PROJECTORS = tuple(Row((name,), Model(SIGLIP, name, shared=True), name) for name in KINDS)
"""Tables 9 to 11, behind one tower."""

ROWS = {5: COMPONENTS, 6: COMPONENTS, 7: COMPONENTS, 9: PROJECTORS, 10: PROJECTORS, 11: PROJECTORS}
RETRIEVAL = 8
REPORTS, OPEN, CLOSED = (5, 9), (6, 10), (7, 11)
"""What each table tests."""
TABLES = tuple(sorted([*ROWS, RETRIEVAL]))
SOONEST = ((9, 10, 11), (5, 6, 7), (RETRIEVAL,))
"""Tables that are made of the same work, those first for which least has to be trained."""


def models_of(tables: tuple[int, ...]) -> list[Model]:
    """List the models that some tables need, each once."""
    return list(dict.fromkeys(row.model for t in tables if t in ROWS for row in ROWS[t]))


def pairs_of(tables: tuple[int, ...]) -> list[Pair]:
    """List the pairs that some tables need, each once: their own, and those below models."""
    own = PAIRS if RETRIEVAL in tables else ()
    return list(dict.fromkeys([*own, *(model.pair for model in models_of(tables))]))


def slugs() -> list[str]:
    """List every pair and model that a checkpoint can be given for."""
    variants: list[Pair | Model] = [*PAIRS, *models_of(TABLES)]
    return list(dict.fromkeys(variant.slug for variant in variants))
