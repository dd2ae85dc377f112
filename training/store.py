"""The training store: model inputs of phantoms on disk, quantised to 8 bits, made once.

A store is a folder of chunks. A chunk is an array file and the truths beside it, written under
another name first, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from dicom_io.phantom import Truth, make_phantom
from dicom_io.preprocess import PreprocessSpec, prepare

CHUNK = 100


def write_store(
    folder: Path, seeds: Sequence[int], spec: PreprocessSpec, *, processes: int = 2
) -> None:
    """Make the phantoms of `seeds` and keep their model inputs; chunks that exist stay."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(processes) as pool:
        done = pool.map(partial(_write_chunk, folder, spec), chunks)
        for _ in track(done, "phantoms", total=len(chunks)):
            pass


def read_store(folder: Path, seeds: Sequence[int]) -> tuple[list[NDArray[np.uint8]], list[Truth]]:
    """Open what `write_store` wrote: one memory-mapped (D, H, W) array and one truth per seed."""
    inputs: list[NDArray[np.uint8]] = []
    truths: list[Truth] = []
    for first in seeds[::CHUNK]:
        inputs += list(np.load(folder / f"{first}.npy", mmap_mode="r"))
        truths += [Truth.from_dict(t) for t in json.loads((folder / f"{first}.json").read_text())]
    return inputs, truths


def as_unit_interval(batch: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Stack 8-bit inputs to (B, 1, D, H, W) in [0, 1]."""
    return np.stack(list(batch))[:, None].astype(np.float32) / np.float32(255)


def _write_chunk(folder: Path, spec: PreprocessSpec, seeds: Sequence[int]) -> None:
    path = folder / f"{seeds[0]}.npy"
    if path.exists():
        return
    phantoms = [make_phantom(seed) for seed in seeds]
    inputs = np.stack([prepare(phantom.volume, spec).pixels[0] for phantom in phantoms])
    truths = [phantom.truth.to_dict() for phantom in phantoms]
    (folder / f"{seeds[0]}.json").write_text(json.dumps(truths))
    unfinished = folder / f".{seeds[0]}.{os.getpid()}.npy"
    np.save(unfinished, np.rint(inputs * 255).astype(np.uint8))
    unfinished.replace(path)
