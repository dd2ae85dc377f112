"""What is evaluated: a checkpoint that writes here, or texts that were written elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from rich.console import Console
from rich.progress import track

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import ModelInput
from engine.checkpoints.folder import file_sha256
from engine.inference.local import LocalEngine
from engine.inference.question import Asked
from engine.protocol import Answer, Generation, Sampling
from training.data.store import Store, as_unit_interval
from training.evaluation.folder import Output, append_outputs, read_outputs
from training.evaluation.items import Item

Decoding = Literal["greedy", "sampled", "authors"]

PLAIN = Sampling(temperature=0.0, top_p=1.0, top_k=0, repetition_penalty=1.0, stop_at_loop=False)
"""The paper's texts are whole: nothing looks for loops in them."""
DECODINGS: Mapping[Decoding, Sampling] = {
    "greedy": PLAIN,
    "sampled": replace(PLAIN, temperature=1.0),
    "authors": Sampling(temperature=1.0, stop_at_loop=False),
}


class System(Protocol):
    """A source of texts."""

    @property
    def name(self) -> str:
        """As the tables call it."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What decides its texts, in values that JSON can hold."""
        ...

    def texts(self, items: Sequence[Item], folder: Path) -> dict[str, list[Output]]:
        """Return an output for each item, by the way in which it was decoded."""
        ...


@dataclass(frozen=True, eq=False)
class ModelSystem:
    """A checkpoint that writes now; killed, it goes on with what the folder does not hold yet.

    Parameters
    ----------
    engine : LocalEngine
    store : Store
        Of the images, prepared as the checkpoint's were.
    decodings : sequence of str
        "greedy", the likeliest token; "sampled", drawn at temperature 1; "authors", drawn so with
        the top k, top p and penalty of the checkpoint's generation_config.json, which their
        `generate` reads, too.
    max_new_tokens, seed, batch : int
        `seed` and an item's key decide what is drawn for it.
    dtype : str
        In which the engine was loaded: another one may write other words.
    """

    engine: LocalEngine
    store: Store
    decodings: Sequence[Decoding] = ("greedy", "sampled")
    max_new_tokens: int = 256
    seed: int = 0
    batch: int = 8
    dtype: str = "auto"
    _read: dict[str, ModelInput] = field(default_factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        return self.engine.identity.name

    @property
    def facts(self) -> Mapping[str, Any]:
        identity = asdict(self.engine.identity)
        return {
            "checkpoint": {key: identity[key] for key in ("name", "version", "digest")},
            "max_new_tokens": self.max_new_tokens,
            "seed": self.seed,
            "dtype": self.dtype,
        }

    def texts(self, items: Sequence[Item], folder: Path) -> dict[str, list[Output]]:
        return {decoding: self._written(items, folder, decoding) for decoding in self.decodings}

    def _written(self, items: Sequence[Item], folder: Path, decoding: Decoding) -> list[Output]:
        path = folder / f"{decoding}.jsonl"
        outputs = read_outputs(path)
        missing = [item for item in items if item.key not in outputs]
        batches = [missing[i : i + self.batch] for i in range(0, len(missing), self.batch)]
        for batch in track(batches, f"{decoding} texts", console=Console(stderr=True)):
            written = list(self._write(batch, decoding))
            append_outputs(path, written)
            outputs.update({output.key: output for output in written})
        return [outputs[item.key] for item in items]

    def _write(self, items: Sequence[Item], decoding: Decoding) -> Iterator[Output]:
        """Write the texts of a batch; questions and reports are put in different ways."""
        sampling = replace(DECODINGS[decoding], max_new_tokens=self.max_new_tokens)
        inputs, seeds = self._inputs(items), [seed_of(self.seed, item.key) for item in items]
        if items[0].task == "report":
            reports = self.engine.report_batch(inputs, sampling, seeds=seeds)
            yield from (_output(i, report) for i, report in zip(items, reports, strict=True))
            return
        asked = [
            Asked(model_input, item.question, item.choices, seed)
            for model_input, item, seed in zip(inputs, items, seeds, strict=True)
        ]
        answers = self.engine.ask_batch(asked, sampling)
        yield from (_answer(i, answer) for i, answer in zip(items, answers, strict=True))

    def _inputs(self, items: Sequence[Item]) -> list[ModelInput]:
        wanted = {item.image for item in items}
        for image in set(self._read) - wanted:
            del self._read[image]
        for image in wanted - set(self._read):
            self._read[image] = stored_input(self.store, image)
        return [self._read[item.image] for item in items]


@dataclass(frozen=True)
class Predictions:
    """Texts of another system: a file of JSON lines with `key` and `text`.

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
    def facts(self) -> Mapping[str, Any]:
        return {"predictions": {"name": self.name, "digest": file_sha256(self.path)}}

    def texts(self, items: Sequence[Item], folder: Path) -> dict[str, list[Output]]:
        """Return the file's texts.

        Raises
        ------
        UnusableData
            A line is no such object, a key is there twice, or an item has no text.
        """
        found: dict[str, str] = {}
        for key, text in self._lines():
            if key in found:
                raise UnusableData(f"{self.path} has {key} twice")
            found[key] = text
        missing = [item.key for item in items if item.key not in found]
        if missing:
            raise UnusableData(
                f"{self.path} has no text for {len(missing)} of {len(items)} items, "
                f"the first of them {missing[0]}"
            )
        return {"given": [Output(item.key, found[item.key]) for item in items]}

    def _lines(self) -> Iterator[tuple[str, str]]:
        for number, line in enumerate(self.path.read_text("utf-8").splitlines(), start=1):
            try:
                row = json.loads(line)
                key, text = row["key"], row["text"]
            except (ValueError, KeyError, TypeError) as error:
                raise UnusableData(
                    f'{self.path}, line {number}: not {{"key": …, "text": …}}'
                ) from error
            if not isinstance(key, str) or not isinstance(text, str):
                raise UnusableData(f"{self.path}, line {number}: key and text must be strings")
            yield key, text


def seed_of(seed: int, key: str) -> int:
    """Return an item's own seed: what is drawn for it depends on no other item."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:7])


def stored_input(store: Store, key: str) -> ModelInput:
    """Return an input of a store as the engine wants it."""
    pixels = as_unit_interval(store.stored(key)).numpy()
    affine = store.images[key].affine_lps
    placed = np.eye(4) if affine is None else np.array(affine)  # the engine looks at no affine
    return ModelInput(pixels, store.header.spec, placed, ())


def _output(item: Item, generation: Generation, choice: str = "") -> Output:
    return Output(item.key, generation.text, generation.finish_reason, generation.abstained, choice)


def _answer(item: Item, answer: Answer) -> Output:
    return _output(item, answer.generation, answer.choice.letter if answer.choice else "")
