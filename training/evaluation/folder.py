"""The folder of an evaluation: what it is of, and the outputs so far, so that it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dicom_io.errors import UnusableData
from training.data.shards import locked, write_atomically
from training.differences import differences

FACTS = "run.json"


@dataclass(frozen=True)
class Output:
    """What a system gave for an item.

    Parameters
    ----------
    key : str
        Of the item.
    text : str
        Empty where it abstained.
    finish_reason : str
        "eos" where the text is complete, "length" where it was cut off.
    abstained : str, optional
        Why it wrote nothing.
    choice : str
        The likeliest letter of a closed question; nothing where it is not known.
    """

    key: str
    text: str
    finish_reason: str = "eos"
    abstained: str | None = None
    choice: str = ""


@contextmanager
def claimed(folder: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Begin an evaluation in a folder, or go on with it, while no other process does.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    facts : mapping
        Everything that decides the outputs, in values that JSON can hold.

    Raises
    ------
    UnusableData
        The folder holds the outputs of something else, or is being written.
    """
    facts = json.loads(json.dumps(facts))  # as they are read back: tuples become lists
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        path = folder / FACTS
        if path.exists():
            _refuse_another(folder, json.loads(path.read_text("utf-8")), facts)
        else:
            write_atomically(path, json.dumps(facts, indent=1))
        yield


def read_outputs(path: Path) -> dict[str, Output]:
    """Read the outputs so far by key, and cut off a line that a killed run left unfinished."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    outputs = (Output(**json.loads(line)) for line in whole.decode().splitlines())
    return {output.key: output for output in outputs}


def append_outputs(path: Path, outputs: list[Output]) -> None:
    """Add outputs as they are made."""
    with path.open("a", encoding="utf-8") as file:
        for output in outputs:
            file.write(json.dumps(asdict(output), ensure_ascii=False) + "\n")


def _refuse_another(folder: Path, held: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    for key, before, now in differences({key: held.get(key) for key in facts}, facts):
        raise UnusableData(
            f"{folder} holds an evaluation with {key} {before}, not {now}: take another --out"
        )
