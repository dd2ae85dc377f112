"""Vectors of images and texts: a pair makes them, or another system's are brought in as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.checkpoint import describe, load_retriever
from engine.checkpoints.families import Retriever
from engine.checkpoints.folder import file_sha256
from engine.checkpoints.tokenizer_files import read_tokenizer
from training.data.store import Store, as_unit_interval
from training.evaluation.items import Item
from training.evaluation.setting import Setting


@dataclass(frozen=True, eq=False)
class PairSystem:
    """A contrastive pair with the tokenizer of its text encoder.

    Parameters
    ----------
    name : str
    preprocess : PreprocessSpec
        How its images must be prepared.
    facts : dict
        Which checkpoint it is.
    """

    name: str
    pair: Retriever
    tokenizer: Tokenizer
    preprocess: PreprocessSpec
    facts: dict[str, Any]
    device: str = "cpu"

    @classmethod
    def load(cls, checkpoint: str | Path, device: str = "cpu") -> PairSystem:
        """Load a contrastive pair, native or published.

        Raises
        ------
        EngineError
            There is none; see `engine.checkpoints.checkpoint.load_retriever`.
        """
        pair = load_retriever(checkpoint, device=device).eval()
        found = describe(checkpoint)
        facts = {"name": found.card.name, "version": found.card.version, "digest": found.digest}
        tokenizer = read_tokenizer(found.folder)
        return cls(
            found.card.name, pair, tokenizer, found.preprocess, {"checkpoint": facts}, device
        )

    def embed(self, setting: Setting, items: Sequence[Item], batch: int) -> tuple[Tensor, Tensor]:
        """Embed images and texts of pairs: unit vectors (n, width), or (n, slices, width).

        Parameters
        ----------
        setting : Setting
            Data and folder.
        items : sequence of Item
            The pairs.
        batch : int
            Images at once.
        """
        keys = [item.image for item in items]
        images = embed_images(self, setting.store, keys, setting.folder / "images", batch)
        return images, embed_texts(self, [item.reference for item in items], batch)


@dataclass(frozen=True)
class Embeddings:
    """Vectors of another system: a safetensors file with `images` and `texts`, both (n, width).

    Row i is of line i of items.jsonl (`--list-items`).

    Parameters
    ----------
    path : Path
        Its name is the name of the system.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def facts(self) -> dict[str, Any]:
        return {"embeddings": {"name": self.name, "digest": file_sha256(self.path)}}

    def embed(self, setting: Setting, items: Sequence[Item], batch: int) -> tuple[Tensor, Tensor]:
        """Return the file's vectors, made unit vectors.

        Parameters
        ----------
        setting : Setting
            Data and folder.
        items : sequence of Item
            The pairs.
        batch : int
            Of no use here.

        Raises
        ------
        UnusableData
            It holds others, or not one for each pair.
        """
        try:
            held = load_file(self.path)
        except SafetensorError as error:
            raise UnusableData(f"{self.path} is no safetensors file: {error}") from error
        shapes = {name: tuple(tensor.shape) for name, tensor in held.items()}
        images, texts = shapes.get("images", ()), shapes.get("texts", ())
        if images != texts or len(images) != 2 or images[0] != len(items):
            raise UnusableData(
                f"{self.path} holds {shapes}; wanted are images and texts of shape "
                f"({len(items)}, width), a row for each line of items.jsonl"
            )
        keys = [item.image for item in items]
        vectors = [_finite(held[name].float(), keys) for name in ("images", "texts")]
        return F.normalize(vectors[0], dim=1), F.normalize(vectors[1], dim=1)


def embed_images(
    system: PairSystem, store: Store, keys: Sequence[str], folder: Path, batch: int
) -> Tensor:
    """Embed images, keeping each batch on disk so that a killed run goes on.

    (n, width), or (n, slices, width) where a pair sees slices.

    Parameters
    ----------
    system : PairSystem
        Embeds.
    store : Store
        Holds the images.
    keys : sequence of str
        Which of them.
    folder : Path
        Where batches are kept.
    batch : int
        Images at once.
    """
    folder.mkdir(exist_ok=True)
    held: dict[str, Tensor] = {}
    for path in folder.glob("*.safetensors"):
        held.update(load_file(path))
    missing = [key for key in dict.fromkeys(keys) if key not in held]
    batches = [missing[i : i + batch] for i in range(0, len(missing), batch)]
    for chosen in track(batches, "images", console=Console(stderr=True)):
        volumes = as_unit_interval(torch.stack([store.stored(key) for key in chosen]))
        with torch.inference_mode():
            vectors = system.pair.encode_image(volumes.to(system.device)).float().cpu()
        made = {key: vector.clone() for key, vector in zip(chosen, vectors, strict=True)}
        _save(folder, made)
        held.update(made)
    return _finite(torch.stack([held[key] for key in keys]), keys)


def embed_texts(system: PairSystem, texts: Sequence[str], batch: int) -> Tensor:
    """Embed texts, (n, width); equal ones once, so that their similarities are equal too.

    Parameters
    ----------
    system : PairSystem
        Embeds.
    texts : sequence of str
        n of them.
    batch : int
        Texts at once.
    """
    distinct = sorted(set(texts), key=len)
    tokenizer = Tokenizer.from_str(system.tokenizer.to_str())
    tokenizer.enable_padding()
    tokenizer.enable_truncation(system.pair.text_tokens)
    vectors: dict[str, Tensor] = {}
    for i in range(0, len(distinct), batch):
        chosen = distinct[i : i + batch]
        encoded = tokenizer.encode_batch([system.pair.as_read(text) for text in chosen])
        ids = torch.tensor([one.ids for one in encoded], device=system.device)
        mask = torch.tensor([one.attention_mask for one in encoded], device=system.device)
        with torch.inference_mode():
            made = system.pair.encode_text(ids, mask)
        vectors.update(zip(chosen, made.float().cpu(), strict=True))
    embedded = torch.stack([vectors[text] for text in texts])
    return _finite(embedded, [f"the text of pair {number}" for number in range(len(texts))])


def _finite(embedded: Tensor, names: Sequence[str]) -> Tensor:
    """Refuse embeddings that are no numbers: nothing compares as more similar than they do."""
    odd = (~embedded.isfinite().flatten(1).all(dim=1)).nonzero()[:, 0].tolist()
    if odd:
        raise UnusableData(
            f"{len(odd)} of {len(names)} embeddings are no finite numbers, the first of "
            f"{names[odd[0]]}: the checkpoint is damaged, or its type is too small"
        )
    return embedded


def _save(folder: Path, vectors: dict[str, Tensor]) -> None:
    path = folder / f"{len(list(folder.glob('*.safetensors'))):05d}.safetensors"
    unfinished = path.with_suffix(".part")
    save_file(vectors, unfinished)
    unfinished.replace(path)
