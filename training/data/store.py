"""The training store: model inputs in safetensors shards, with all that is needed to read them.

A store is a folder (docs/training-data.md)::

    store.json               format, PreprocessSpec, dtype of the inputs
    images/00000.safetensors inputs, each a tensor (D, H, W) under its key
    images/00000.json        its SHA-256, a record for each input, and what was rejected
    texts.jsonl              {"key", "text"}
    questions/*.csv          the columns of M3D-VQA
    splits.json              by name M3D-Cap's {"train": [{"image": key, "text": key}], ...}

Inputs are fixed-point numbers: the grey value in [0, 1] times 255 or 65535.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from training.data.questions import Question, read_questions
from training.data.splits import PARTS, Part, normalised

FORMAT = 1
Dtype = Literal["uint8", "uint16"]
SplitName = Literal["paper", "grouped"]
TORCH_DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16}
_FULL_SCALE = {torch.uint8: 255, torch.uint16: 65535}


@dataclass(frozen=True)
class Header:
    """What holds for every input of a store.

    Parameters
    ----------
    spec : PreprocessSpec
        How the inputs were made; they are ready, and nothing may be applied to them again.
    dtype : {"uint8", "uint16"}
        uint8 where the source has 8 bits, uint16 where it is in HU.
    source : str
        Which data set, e.g. "m3d".
    plan : str
        Digest of what was to be stored, so that only the same command goes on with a store.
    """

    spec: PreprocessSpec
    dtype: Dtype
    source: str
    plan: str

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Header:
        if values.get("format") != FORMAT:
            raise UnusableData(f"store format {values.get('format')!r} is not {FORMAT}")
        spec = PreprocessSpec.from_dict(values["spec"])
        return cls(spec, values["dtype"], values["source"], values["plan"])


@dataclass(frozen=True)
class ImageRecord:
    """One input of a store.

    Parameters
    ----------
    key : str
        Its name, `{case}/{series}`.
    case : str
        Whose it is: M3D's case, or the pseudonym of a patient.
    text : str
        Key of its report.
    affine_lps : list of list of float, optional
        (4, 4), maps (d, h, w, 1) to patient coordinates in mm; None where the source has none.
    notes : tuple of str
        What was left out or corrected, one sentence each.
    origin : dict
        What else the source says of it, in plain values.
    """

    key: str
    case: str
    text: str
    affine_lps: list[list[float]] | None = None
    notes: tuple[str, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)


class Store:
    """A store that is open for reading; `open_store` makes one. Safe to hand to other processes."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder, self.header = folder, header
        self._shards: dict[str, Path] = {}
        self.images: dict[str, ImageRecord] = {}
        for path in sorted((folder / "images").glob("*.json")):
            for values in json.loads(path.read_text("utf-8"))["images"]:
                record = ImageRecord(**{**values, "notes": tuple(values["notes"])})
                self.images[record.key] = record
                self._shards[record.key] = path.with_suffix(".safetensors")
        self.texts = read_texts(folder)

    def stored(self, key: str) -> Tensor:
        """Return an input as it is stored: integers (1, D, H, W), memory-mapped, not copied."""
        if key not in self._shards:
            raise UnusableData(f"{self.folder} holds no image {key}")
        tensor: Tensor = _open_shard(self._shards[key]).get_tensor(key)
        return tensor[None]

    def report(self, key: str) -> str:
        """Return the report of an image."""
        return self.texts[self.images[key].text]

    def split(self, name: SplitName) -> dict[Part, list[str]]:
        """Return the keys of each part, in the order in which the split counts them."""
        splits = read_splits(self.folder)
        if name not in splits:
            raise UnusableData(f"{self.folder} has no split {name!r}")
        return splits[name]

    def questions(self, name: SplitName, part: Part) -> list[Question]:
        """Return the questions of a part.

        Under `paper` those of the official files for this part, under `grouped` every question on
        an image of the part; once where several files have it.
        """
        files = sorted((self.folder / "questions").glob("*.csv"))
        images = set(self.split(name)[part]) if name == "grouped" else set()
        asked: dict[Question, Question] = {}
        for question in (q for file in files for q in read_questions(file)):
            if question.image in images or (name == "paper" and question.part == part):
                # M3D_VQA_test5k is a selection of M3D_VQA_test
                asked.setdefault(replace(question, source=""), question)
        return list(asked.values())


def open_store(folder: Path, spec: PreprocessSpec | None = None) -> Store:
    """Open a store, and make sure that it holds what is wanted.

    Parameters
    ----------
    folder : Path
        Of the store.
    spec : PreprocessSpec, optional
        The preprocessing that the reader counts on.

    Raises
    ------
    UnusableData
        There is no store, it is unfinished, or its inputs were made in another way.
    """
    path = folder / "store.json"
    if not path.exists():
        raise UnusableData(f"{folder} is no training store: it has no store.json")
    header = Header.from_dict(json.loads(path.read_text("utf-8")))
    if spec is not None and spec != header.spec:
        here, wanted = header.spec.to_dict(), spec.to_dict()
        differing = (f"{k} is {here[k]}, not {wanted[k]}" for k in here if here[k] != wanted[k])
        raise UnusableData(f"{folder} was prepared in another way: {'; '.join(differing)}")
    if not (folder / "splits.json").exists():
        raise UnusableData(f"{folder} is unfinished: run the same `ctscribe prepare` again")
    return Store(folder, header)


def as_unit_interval(stored: Tensor, out: Tensor | None = None) -> Tensor:
    """Integers of a store -> float32 in [0, 1]; call it where the batch is to be used.

    `out` saves the memory of a new batch, which a CPU spends more time on than on the numbers.
    """
    values = torch.empty(stored.shape, device=stored.device) if out is None else out
    return values.copy_(stored).div_(_FULL_SCALE[stored.dtype])


def quantised(pixels: Tensor, dtype: Dtype) -> Tensor:
    """Grey values in [0, 1] -> the nearest integers of a store."""
    wanted = TORCH_DTYPES[dtype]
    return (pixels.double() * _FULL_SCALE[wanted]).round_().to(wanted)


def verify(folder: Path) -> Iterable[str]:
    """Read everything again; yield a sentence for every fault."""
    store = open_store(folder)
    for path in sorted((folder / "images").glob("*.json")):
        shard = path.with_suffix(".safetensors")
        if not shard.exists() or sha256(shard) != json.loads(path.read_text("utf-8"))["sha256"]:
            yield f"{shard.name} is not the file that was written"
    for record in store.images.values():
        if record.text not in store.texts:
            yield f"{record.key} has no report"
    for name, split in read_splits(folder).items():
        yield from faults_of_split(store, name, split)


def digest(folder: Path) -> str:
    """SHA-256 of what a store holds: of its records, with the digests of the shards, and texts."""
    files = [*sorted((folder / "images").glob("*.json")), *sorted(folder.glob("questions/*.csv"))]
    files += [folder / name for name in ("store.json", "texts.jsonl", "splits.json")]
    lines = "".join(f"{sha256(path)}  {path.relative_to(folder)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def faults_of_split(store: Store, name: str, split: dict[Part, list[str]]) -> Iterable[str]:
    """Yield a sentence for whatever is in two parts of a split.

    Parameters
    ----------
    store : Store
        Whose images they are.
    name : str
        Of the split.
    split : dict
        Keys of images by part.
    """
    seen: dict[str, str] = {}
    for part, keys in split.items():
        for key in keys:
            if key not in store.images:
                yield f"split {name}: {key} is not in the store"
                continue
            for thing in _indivisible(store, name, key):
                if seen.setdefault(thing, part) != part:
                    yield f"split {name}: {thing} is in {seen[thing]} and in {part}"


def _indivisible(store: Store, name: str, key: str) -> Iterable[str]:
    """What may be in one part of a split only."""
    record = store.images[key]
    yield f"image {key}"
    if name == "grouped":
        yield f"case {record.case}"
        yield f"the text “{normalised(store.texts[record.text])}”"


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_splits(folder: Path) -> dict[str, dict[Part, list[str]]]:
    """Read the keys of every split by name and part."""
    splits = json.loads((folder / "splits.json").read_text("utf-8"))
    return {
        name: {part: [pair["image"] for pair in parts[part]] for part in PARTS}
        for name, parts in splits.items()
    }


def read_texts(folder: Path) -> dict[str, str]:
    """Read the reports of a store by their key."""
    with (folder / "texts.jsonl").open(encoding="utf-8") as lines:
        return {row["key"]: row["text"] for row in map(json.loads, lines)}


@lru_cache(maxsize=512)
def _open_shard(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise UnusableData(f"{path} cannot be read: {error}") from error
