"""Checkpoints that take the place of what would be trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dicom_io.errors import RecipeError, UnusableData
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.description import Description, read_config
from engine.checkpoints.folder import checkpoint_folder
from engine.network.contrastive import ContrastiveConfig
from engine.network.projector import ProjectorConfig
from training.ablation.variants import PAIRS, Model, slugs
from training.data.store import Store
from training.recipe.model import LanguageModel
from training.recipe.recipe import Recipe

Given = Mapping[str, Description]
"""By the slug of a pair or a model."""


def read_given(named: Iterable[str], store: Store) -> Given:
    """Read what "VARIANT=CHECKPOINT" names.

    Parameters
    ----------
    named : iterable of str
        The checkpoint is a folder, or `OWNER/NAME@COMMIT`.
    store : Store
        Of the images that they will see.

    Raises
    ------
    RecipeError
        There is no such variant, or one is named twice.
    UnusableData
        A checkpoint is of the other kind, or reads images that are prepared in another way.
    EngineError
        It cannot be read.
    """
    given: dict[str, Description] = {}
    for text in named:
        variant, equals, checkpoint = text.partition("=")
        if not equals or variant not in slugs() or variant in given:
            raise RecipeError(f"--given {text}: not VARIANT=CHECKPOINT, once of {_known()}")
        found = describe(checkpoint)
        is_pair = isinstance(found.network, ContrastiveConfig)
        if is_pair != (variant in {pair.slug for pair in PAIRS}):
            what = "a contrastive pair" if is_pair else "no contrastive pair"
            raise UnusableData(f"--given {variant}: {checkpoint} is {what}")
        if found.preprocess != store.header.spec:
            raise UnusableData(
                f"--given {variant}: {checkpoint} reads {found.preprocess}, and "
                f"{store.folder} holds {store.header.spec}"
            )
        given[variant] = found
    return given


def with_language_model(recipe: Recipe, name: str | None) -> Recipe:
    """Put a language model that can write already in the place of the one that is taught to.

    Parameters
    ----------
    recipe : Recipe
    name : str, optional
        A Qwen2 with its tokenizer; without it the recipe stays as it is.
    """
    if name is None:
        return recipe
    own = recipe.llm or LanguageModel(pretrained=name)
    llm = own.model_copy(update={"pretrained": name, "sizes": None})
    return recipe.model_copy(update={"llm": llm, "language": None})


def projector_of(model: Model, recipe: Recipe, given: Given) -> ProjectorConfig | None:
    """Return the sizes of a model's projector; None for a given model that has none of ours.

    Parameters
    ----------
    model : Model
    recipe : Recipe
        The base recipe.
    given : Given
    """
    if model.slug in given:
        found = getattr(given[model.slug].network, "projector", None)
        return found if isinstance(found, ProjectorConfig) else None
    assert recipe.llm is not None
    if recipe.llm.sizes is not None:
        width = recipe.llm.sizes.hidden_size
    else:
        width = int(read_config(checkpoint_folder(recipe.llm.pretrained))["hidden_size"])
    return model.recipe(recipe).projector_config(width)


def _known() -> str:
    return ", ".join(slugs())
