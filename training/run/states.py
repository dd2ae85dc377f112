"""States of a run on disk: complete or not there, the latest few of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dicom_io.errors import TrainingError
from training.run.ranks import rank

_STEP = re.compile(r"step-(\d{8})")
ABOUT = "run.json"


def claim(folder: Path, about: Mapping[str, Any]) -> None:
    """Make sure that what lies in a folder came from the same run, or begin it.

    Parameters
    ----------
    folder : Path
        Of the states of one stage.
    about : mapping
        What decides the weights: recipe, data, ranks. JSON values.

    Raises
    ------
    TrainingError
        It came from another; the message names what differs.
    """
    path = folder / ABOUT
    wanted = json.loads(json.dumps(about))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{rank()}.part")  # every rank may be here
        unfinished.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
        return
    here = json.loads(path.read_text("utf-8"))
    if here != wanted:
        raise TrainingError(
            f"{folder} is of another run: {'; '.join(_differences(here, wanted))}; "
            "take another --out, or the same recipe, data and ranks"
        )


def latest(folder: Path) -> tuple[int, Path] | None:
    """Return the last complete state and its step."""
    found = _complete(folder)
    return found[-1] if found else None


def save(accelerator: Accelerator, folder: Path, step: int, keep: int) -> None:
    """Write the state after `step` steps; every rank calls it.

    It lies under another name until all of it is on the disk, so that a run that is killed here
    goes on from the state before.
    """
    final = folder / f"step-{step:08d}"
    unfinished = final.with_suffix(".part")
    if accelerator.is_main_process:
        shutil.rmtree(unfinished, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(unfinished), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _flush(unfinished)
        unfinished.rename(final)
        _sync(folder)
        for _, old in _complete(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def _complete(folder: Path) -> list[tuple[int, Path]]:
    named = ((_STEP.fullmatch(path.name), path) for path in folder.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in named if match)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _differences(here: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted(here.keys() | wanted.keys()):
        old, new = here.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} was {old!r}, is {new!r}")
    return found
