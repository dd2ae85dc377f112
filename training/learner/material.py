"""What a stage learns from: a store that is the right one, and a split that is said and sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dicom_io.errors import RecipeError, UnusableData
from training.data.splits import Part
from training.data.store import SplitName, Store, digest, faults_of_split, open_store
from training.recipe.recipe import Recipe


@dataclass(frozen=True)
class Material:
    """An open store with one of its splits.

    Parameters
    ----------
    store : Store
    split : {"paper", "grouped"}
        Which split.
    parts : dict of str to list of str
        The keys of its parts.
    """

    store: Store
    split: SplitName
    parts: dict[Part, list[str]]

    def describe(self) -> dict[str, Any]:
        """What a checkpoint has to say of its data, as JSON values."""
        return {
            "source": self.store.header.source,
            "digest": digest(self.store.folder),
            "split": self.split,
            "images": {part: len(keys) for part, keys in self.parts.items()},
        }


def open_material(recipe: Recipe, folder: Path, split: str | None = None) -> Material:
    """Open a store for a recipe.

    Parameters
    ----------
    recipe : Recipe
        Its preprocessing must be the store's.
    folder : Path
        Of the store.
    split : str, optional
        The split, in place of the recipe's.

    Raises
    ------
    RecipeError
        Neither says which split.
    UnusableData
        There is no such store or split, its inputs were made in another way, or the split leaks.
    """
    named = split or recipe.split
    if named is None:
        raise RecipeError(
            f"recipe {recipe.name} does not say which split: --split grouped keeps a patient's "
            "images in one part, --split paper is the official one"
        )
    store = open_store(folder, recipe.preprocess_spec)
    wanted = cast(SplitName, named)
    parts = store.split(wanted)
    if faults := list(faults_of_split(store, named, parts)):
        raise UnusableData(f"{folder}: {faults[0]} (and {len(faults) - 1} more faults)")
    return Material(store, wanted, parts)
