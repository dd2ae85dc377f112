"""States of a run on disk: complete or not there, the latest few of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from dicom_io.errors import TrainingError
from training.differences import differences
from training.run.ranks import rank

_STEP = re.compile(r"step-(\d{8})")
ABOUT = "run.json"

DEEPSPEED = "pytorch_model"
"""The folder inside a state where Accelerate lets DeepSpeed write."""


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
        found = (f"{key} was {old!r}, is {new!r}" for key, old, new in differences(here, wanted))
        raise TrainingError(
            f"{folder} is of another run: {'; '.join(sorted(found))}; "
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
    accelerator.save_state(str(unfinished), safe_serialization=True, exclude_frozen_parameters=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _flush(unfinished)
        unfinished.rename(final)
        _sync(folder)
        for _, old in _complete(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def hold_what_is_trained(accelerator: Accelerator, module: nn.Module) -> None:
    """Leave frozen weights out of the states of one process; DeepSpeed is told so in `save`."""
    kept = names_that_change(module)

    def leave_out(_: list[nn.Module], weights: list[dict[str, Tensor]], __: str) -> None:
        for state in weights:
            for name in state.keys() - kept:
                del state[name]

    accelerator.register_save_state_pre_hook(leave_out)


def names_that_change(module: nn.Module) -> set[str]:
    """Name what training changes: the weights that learn, and buffers."""
    learning = {name for name, p in module.named_parameters() if p.requires_grad}
    return learning | ({name for name, _ in module.named_buffers()} & module.state_dict().keys())


def resume(accelerator: Accelerator, state: Path) -> None:
    """Go on from a state; frozen weights, which it does not hold, stay as they were loaded."""
    alone = accelerator.deepspeed_plugin is None
    accelerator.load_state(str(state), **{"strict" if alone else "load_module_strict": False})


def trained_weights(folder: Path) -> tuple[int, dict[str, Tensor]]:
    """Read what was trained from the last state on disk, whole, however it was spread over ranks.

    Parameters
    ----------
    folder : Path
        Of the states of one stage.

    Returns
    -------
    step : int
    weights : dict of str to Tensor
        Weights that learn, and buffers, under the names of the stage's module.

    Raises
    ------
    TrainingError
        There is no state, or it holds a weight without values.
    """
    found = latest(folder)
    if found is None:
        raise TrainingError(f"{folder} holds no state")
    step, state = found
    single = state / "model.safetensors"
    weights = load_file(single) if single.exists() else _joined(state)
    if empty := sorted(name for name, weight in weights.items() if not weight.numel()):
        raise TrainingError(f"{state} holds no values of {', '.join(empty[:5])}")
    return step, weights


def _joined(state: Path) -> dict[str, Tensor]:
    """Join the parts that DeepSpeed's ranks wrote; without ZeRO there is one."""
    if not any(state.rglob("*_optim_states.pt")):
        (whole,) = state.rglob("mp_rank_*_model_states.pt")
        weights: dict[str, Tensor] = torch.load(whole, weights_only=False)["module"]
        return weights
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    with redirect_stdout(StringIO()):  # it tells how it goes on
        joined = get_fp32_state_dict_from_zero_checkpoint(
            str(state), DEEPSPEED, exclude_frozen_parameters=True
        )
    return {name: tensor.clone() for name, tensor in joined.items()}


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
