"""What a site measures of a model with its own studies, and keeps beside the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicom_io.counted import counted
from dicom_io.errors import UnusableData
from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.description import Description
from engine.checkpoints.folder import seal_again
from engine.checkpoints.layouts.native import NAMES_OF_DISTRIBUTION, OUT_OF_DISTRIBUTION
from engine.checkpoints.weights import write_tensors
from engine.network.out_of_distribution import MARGIN
from training.data.splits import PARTS, Part
from training.data.store import (
    SplitName,
    Store,
    digest,
    faults_of_split,
    open_store,
)
from training.export.out_of_distribution import training_distribution


@dataclass(frozen=True)
class HeldOut:
    """A store with a split, whose validation and test part a model has not learnt from.

    Parameters
    ----------
    store : Store
    parts : dict of str to list of str
        The keys of its parts.
    """

    store: Store
    parts: dict[Part, list[str]]

    @property
    def unseen(self) -> list[str]:
        """Images that a model which was trained with this split has not learnt from."""
        return [*self.parts["validation"], *self.parts["test"]]


def open_held_out(model: Description, folder: Path, split: SplitName) -> HeldOut:
    """Open a store for a model that may have been trained on it.

    Parameters
    ----------
    model : Description
        Whose preprocessing the store must have.
    folder : Path
        Of the store.
    split : {"paper", "grouped"}
        Whose validation and test part are held out.

    Raises
    ------
    UnusableData
        Its inputs are not the model's, or the model was trained with the store's other split: what
        this one holds out it may have seen.
    """
    store = open_store(folder, model.preprocess)
    if store.header.dtype == "uint8":
        raise UnusableData(f"{folder} holds 8 bits a voxel, which lack the texture of real inputs")
    if (other := _split_of_training(model, folder)) not in (None, split):
        raise UnusableData(
            f"the model was trained on {folder} with the split {other}: use --split {other}"
        )
    parts = store.split(split)
    if faults := list(faults_of_split(store, split, parts)):
        raise UnusableData(f"{folder}: {faults[0]} (and {len(faults) - 1} more faults)")
    return HeldOut(store, {part: parts[part] for part in PARTS})


def _split_of_training(model: Description, folder: Path) -> str | None:
    """Return the split of a store that a model says it was trained on, if it was this store."""
    data = model.card.provenance.get("data")
    if not isinstance(data, dict) or data.get("digest") != digest(folder):
        return None
    return str(data["split"])


def calibrate_distribution(
    checkpoint: Checkpoint, folder: Path, held_out: HeldOut, images: int
) -> Iterator[str]:
    """Fit out of distribution, write it beside the weights, and say what it is worth.

    Parameters
    ----------
    checkpoint : Checkpoint
    folder : Path
        Its own; a distribution that is there is replaced, and the folder sealed again.
    held_out : HeldOut
        Its training part is what the model knows, the others set the limits.
    images : int
        How many of the training part are measured.

    Yields
    ------
    str
        A line for a person.

    Raises
    ------
    UnusableData
        There are too few images.
    """
    seen, unseen = held_out.parts["train"][:images], held_out.unseen
    if len(seen) < 2 or not unseen:
        raise UnusableData(
            "out-of-distribution needs images in the part train, and unseen ones in validation "
            f"or test: {len(seen)} and {len(unseen)}"
        )
    fitted = training_distribution(checkpoint.model, held_out.store, seen, unseen)
    write_tensors(fitted.to_tensors(), folder, stem=Path(OUT_OF_DISTRIBUTION).stem)
    for old in NAMES_OF_DISTRIBUTION:
        if old != OUT_OF_DISTRIBUTION:
            (folder / old).unlink(missing_ok=True)
    seal_again(folder)
    vectors, n = len(fitted.gaussians), len(unseen)
    yield (
        f"out of distribution: fitted to {counted(len(seen), 'image')} that the model may know; "
        f"the farthest of {n} unseen ones sets the limit, times {MARGIN:g}"
    )
    beyond = min(100.0, 100 * vectors / (n + 1))
    yield (
        f"without that margin at most {beyond:.1f} of 100 studies like these would be refused; "
        f"{100 * vectors - 1} unseen images make it 1 of 100"
    )
