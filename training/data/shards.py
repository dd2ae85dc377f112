"""Write a store: shards made in parallel, each complete or not there, so that a run goes on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file

from dicom_io.errors import CtscribeError, UnusableData
from training.data.questions import Question, write_questions
from training.data.splits import PARTS, Grouped, Part
from training.data.store import Header, ImageRecord, quantised, sha256

SHARD = 32
"""Inputs in a shard: 256 MiB of 8-bit inputs of the paper's size, which a process holds at once."""


@dataclass(frozen=True)
class Planned:
    """An image that is to be stored.

    Parameters
    ----------
    key, case, text : str
        As in `ImageRecord`.
    source : str
        Where its pixels come from, in whatever words its maker understands.
    """

    key: str
    case: str
    text: str
    source: str


@dataclass(frozen=True, eq=False)
class Made:
    """The input that was made of a planned image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (1, D, H, W)
        In [0, 1].
    affine_lps : ndarray of float64, shape (4, 4), optional
        None where the source has no geometry.
    """

    pixels: NDArray[np.float32]
    affine_lps: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)


Maker = Callable[[Planned], Made]
"""Raises a `CtscribeError` or an `OSError` for an image that cannot be used."""


@dataclass(frozen=True)
class Rejected:
    """Something of the source that is not in the store."""

    what: str
    why: str


@contextmanager
def locked(folder: Path, does: str = "is writing") -> Iterator[None]:
    """Keep every other process out of a folder.

    Raises
    ------
    UnusableData
        Another one is in it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnusableData(f"another process {does} {folder}") from None
        yield


@contextmanager
def begun(folder: Path, header: Header) -> Iterator[None]:
    """Begin a store, or go on with it, while no other process writes it.

    Raises
    ------
    UnusableData
        The folder holds another store, or is being written.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for left in folder.rglob("*.part"):
            left.unlink()
        path = folder / "store.json"
        if path.exists():
            if Header.from_dict(json.loads(path.read_text("utf-8"))) != header:
                raise UnusableData(f"{folder} holds a store of other data or preprocessing")
        else:
            write_atomically(path, json.dumps(header.to_dict(), indent=2))
        yield


def plan_digest(planned: Iterable[Planned]) -> str:
    """Digest of a plan for `Header.plan`."""
    digest = hashlib.sha256(f"{SHARD}\n".encode())
    for image in planned:
        digest.update(f"{image.key}\n{image.case}\n{image.text}\n".encode())
    return digest.hexdigest()


def fill(
    folder: Path, header: Header, planned: Sequence[Planned], make: Maker, *, processes: int
) -> list[Rejected]:
    """Make every planned image and store it; shards that exist stay as they are.

    Parameters
    ----------
    folder : Path
        Of the store.
    header : Header
        How its images were prepared.
    planned : sequence of Planned
        What to make, in the order of the shards.
    make : Maker
        Makes one image.
    processes : int
        How many work at once.

    Returns
    -------
    list of Rejected
        What could not be used, those of earlier runs included.
    """
    shards = [(n, planned[i : i + SHARD]) for n, i in enumerate(range(0, len(planned), SHARD))]
    missing = [s for s in shards if not _record_path(folder, s[0]).exists()]
    write = partial(_write_shard, folder, header, make)
    console = Console(stderr=True)
    with mapped(min(processes, len(missing))) as parallel:
        for _ in track(parallel(write, missing), "shards", total=len(missing), console=console):
            pass
    records = (json.loads(_record_path(folder, n).read_text("utf-8")) for n, _ in shards)
    return [Rejected(**values) for record in records for values in record["rejected"]]


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the reports of a store."""
    lines = (json.dumps({"key": k, "text": t}, ensure_ascii=False) for k, t in texts.items())
    write_atomically(folder / "texts.jsonl", "\n".join(lines))


def write_question_files(folder: Path, questions: Sequence[Question]) -> None:
    """Write the questions of a store, a file for each source."""
    (folder / "questions").mkdir(exist_ok=True)
    for source in sorted({question.source for question in questions}):
        chosen = [question for question in questions if question.source == source]
        write_questions(folder / "questions" / f"{source}.csv", chosen)


def write_splits(
    folder: Path,
    splits: Mapping[str, Mapping[Part, Iterable[str]]],
    images: Mapping[str, Grouped],
) -> None:
    """Write the splits by name; a store that has them is complete.

    Parameters
    ----------
    folder : Path
        Of the store.
    splits : mapping
        Keys of images by part, by the split's name.
    images : mapping of str to Grouped
        What is grouped, by key.
    """
    layout = {
        name: {
            part: [{"image": key, "text": images[key].text} for key in split[part]]
            for part in PARTS
        }
        for name, split in splits.items()
    }
    write_atomically(folder / "splits.json", json.dumps(layout, indent=1))


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is whole whenever it is there."""
    unfinished = _unfinished(path)
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


@contextmanager
def mapped(processes: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield a `map` that works in as many processes; one means this one."""
    if processes <= 1:
        yield map
        return
    # torch has threads by now, and a fork would copy their locks
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield pool.map


def _unfinished(path: Path) -> Path:
    # a worker may outlive the run that was killed, and must not write into the file of the next
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def _record_path(folder: Path, number: int) -> Path:
    return folder / "images" / f"{number:05d}.json"


def _write_shard(
    folder: Path, header: Header, make: Maker, shard: tuple[int, Sequence[Planned]]
) -> None:
    """Write the inputs, then the record, whose presence says that the shard is complete."""
    number, planned = shard
    tensors: dict[str, torch.Tensor] = {}
    records, rejected = [], []
    for image in planned:
        try:
            made = make(image)
        except (CtscribeError, OSError) as error:
            rejected.append(Rejected(image.key, _reason(error)))
            continue
        tensors[image.key] = quantised(torch.from_numpy(made.pixels[0]), header.dtype)
        records.append(_record(image, made))
    path = _record_path(folder, number)
    inputs = path.with_suffix(".safetensors")
    unfinished = _unfinished(inputs)
    save_file(tensors, unfinished, metadata={"spec": json.dumps(header.spec.to_dict())})
    unfinished.chmod(0o644)  # other ranks may be other users
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(inputs)
    contents = {
        "sha256": sha256(inputs),
        "images": [asdict(record) for record in records],
        "rejected": [asdict(reason) for reason in rejected],
    }
    write_atomically(path, json.dumps(contents, indent=1))


def _record(image: Planned, made: Made) -> ImageRecord:
    affine = None if made.affine_lps is None else made.affine_lps.tolist()
    return ImageRecord(image.key, image.case, image.text, affine, made.notes, made.origin)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{Path(error.filename).name}: {error.strerror}"
    return str(error)
