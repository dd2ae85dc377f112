"""What a frozen vision tower sees of the images of a store, computed once.

A folder named by the digest of tower and images, so that features of another tower are never read,
holds `00000.safetensors` and so on: of up to 64 images each the two streams that the projector
reads, `{key}/0` and `{key}/1`, in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.data.store import Store

SHARD = 64
"""Images in a file: 31 MB at the paper's sizes."""

See = Callable[[Tensor], list[Tensor]]
"""Integers (1, 1, D, H, W) of a store -> two streams (1, tokens, C)."""


class Features:
    """The features of some images; safe to hand to other processes.

    Parameters
    ----------
    folder : Path
        May be shared by any number of runs and stores.
    store : Store
    keys : iterable of str
        The images.
    tower : nn.Module
        What sees them.
    """

    def __init__(self, folder: Path, store: Store, keys: Iterable[str], tower: nn.Module) -> None:
        self.store, self.keys = store, sorted(set(keys))
        self.folder = folder / _digest(tower, store.header.plan, self.keys)
        self._shards = {key: self._path(i // SHARD) for i, key in enumerate(self.keys)}

    def read(self, key: str) -> list[Tensor]:
        """Return the two streams of an image, (tokens, C) each."""
        shard = _open_shard(self._shards[key])
        return [shard.get_tensor(f"{key}/{stream}") for stream in (0, 1)]

    @property
    def complete(self) -> bool:
        """Whether every file is there."""
        return all(path.exists() for path in self._shards.values())

    def compute(self, see: See, rank: int = 0, world: int = 1) -> None:
        """Compute what is not there yet: of several processes, each its share of the files.

        A file is there when it is complete, so this may be killed and called again.

        Parameters
        ----------
        see : callable
            The vision tower, with what goes before it.
        rank, world : int
            This process, and how many there are.
        """
        numbers = range(rank, -(-len(self.keys) // SHARD), world)
        missing = [number for number in numbers if not self._path(number).exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        console = Console(stderr=True, quiet=rank > 0)
        for number in track(missing, "vision features", console=console):
            keys = self.keys[number * SHARD : (number + 1) * SHARD]
            unfinished = self._path(number).with_suffix(".part")
            save_file({n: t for key in keys for n, t in self._seen(key, see)}, unfinished)
            unfinished.replace(self._path(number))

    def _seen(self, key: str, see: See) -> list[tuple[str, Tensor]]:
        streams = see(self.store.stored(key)[None])
        return [(f"{key}/{i}", s[0].cpu().contiguous()) for i, s in enumerate(streams)]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"


def _digest(tower: nn.Module, plan: str, keys: list[str]) -> str:
    digest = hashlib.sha256("\n".join([plan, *keys]).encode())
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy())
    return digest.hexdigest()[:32]


@lru_cache(maxsize=512)
def _open_shard(path: Path) -> Any:
    return safe_open(path, framework="pt")
