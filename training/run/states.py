"""States of a run on disk: complete or not there, the latest few of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.serialization import safe_globals

from dicom_io.errors import TrainingError
from training.differences import differences
from training.run.ranks import rank

_STEP = re.compile(r"step-(\d{8})")
ABOUT, FIGURES, BEST = "run.json", "figures.json", "best.json"

WEIGHTS, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
DEEPSPEED = "deepspeed"
"""Files of a state, and its folder of what several ranks have of the optimizer."""


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


def keep_figures(folder: Path, step: int, figures: Mapping[str, float]) -> None:
    """Keep what the validation part gave after `step` steps, for an export of that state.

    Parameters
    ----------
    folder : Path
        Of the states of one stage.
    step : int
    figures : mapping of str to float
    """
    _write_whole(folder / FIGURES, {"step": step, "figures": dict(figures)})


def _write_whole(path: Path, said: Mapping[str, Any]) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def figures_at(folder: Path, step: int) -> dict[str, float]:
    """Return what was kept of exactly this step; nothing where another was looked at last."""
    path = folder / FIGURES
    last = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    found = (said for said in (last, best(folder) or {}) if said.get("step") == step)
    return next((dict(said["figures"]) for said in found), {})


def best(folder: Path) -> dict[str, Any] | None:
    """Return `step`, `figures` and `weights` of the lowest validation loss, where it was kept."""
    path = folder / BEST
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def latest(folder: Path) -> tuple[int, Path] | None:
    """Return the last complete state and its step."""
    found = _complete(folder)
    return found[-1] if found else None


@dataclass(frozen=True, eq=False)
class States:
    """The states of a stage on its way: each is whole weights, and what the optimizer holds.

    Parameters
    ----------
    folder : Path
        Where they lie.
    accelerator : Accelerator
    network : nn.Module
        The stage's module; what is frozen in it stays out.
    module, optimizer
        Both as Accelerate has prepared them.
    """

    folder: Path
    accelerator: Accelerator
    network: nn.Module
    module: Any
    optimizer: Any

    def save(self, step: int, keep: int) -> None:
        """Write the state after `step` steps, and let the latest `keep` stay; every rank calls it.

        It lies under another name until all of it is on the disk, so that a run that is killed here
        goes on from the state before.
        """
        final = self.folder / f"step-{step:08d}"
        unfinished = final.with_suffix(".part")
        if self.accelerator.is_main_process:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
        self.accelerator.wait_for_everyone()
        weights = whole_weights(self.network)
        if self.accelerator.is_main_process:
            save_file(weights, unfinished / WEIGHTS)
        self._save_optimizer(unfinished)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            _flush(unfinished)
            unfinished.rename(final)
            _sync(self.folder)
            for _, old in _complete(self.folder)[:-keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def keep_best(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the weights where the validation loss is the lowest so far; every rank calls it."""
        known = best(self.folder)
        if "loss" not in figures or (known and known["figures"]["loss"] <= figures["loss"]):
            return
        weights = whole_weights(self.network)
        if self.accelerator.is_main_process:
            path = self.folder / f"best-{step:08d}.safetensors"
            unfinished = path.with_suffix(".part")
            save_file(weights, unfinished)
            _sync(unfinished)
            unfinished.replace(path)
            said = {"step": step, "figures": dict(figures), "weights": path.name}
            _write_whole(self.folder / BEST, said)
            for old in self.folder.glob("best-*.safetensors"):
                if old != path:
                    old.unlink()
        self.accelerator.wait_for_everyone()

    def resume(self) -> int:
        """Go on from the latest state, and return its step; 0 where there is none.

        Raises
        ------
        TrainingError
            It is not of this format, or holds anything but numbers and plain values.
        """
        found = latest(self.folder)
        if found is None:
            return 0
        step, state = found
        weights = read_weights(state)
        if self.accelerator.deepspeed_plugin is not None:
            self.module.checkpoint_engine.load = load_harmless
            self.module.load_checkpoint(str(state), DEEPSPEED, load_module_strict=False)
            return step
        self.network.load_state_dict(weights, strict=False)
        groups = self.optimizer.state_dict()["param_groups"]
        moments = _nested(_read(state / OPTIMIZER))
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return step

    def _save_optimizer(self, state: Path) -> None:
        if self.accelerator.deepspeed_plugin is None:
            save_file(_flat(self.optimizer.state_dict()["state"]), state / OPTIMIZER)
        else:  # every rank its part, in DeepSpeed's own files
            self.module.save_checkpoint(
                str(state), DEEPSPEED, save_latest=False, exclude_frozen_parameters=True
            )


def whole_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return what learns, and buffers, however ZeRO has spread it; every rank calls it."""
    saved = network.state_dict().keys()
    weights = {n: b.detach().cpu() for n, b in network.named_buffers() if n in saved}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            with _gathered(parameter):
                weights[name] = parameter.detach().cpu().clone()
    return {name: weight.contiguous() for name, weight in weights.items()}


def _gathered(parameter: nn.Parameter) -> AbstractContextManager[Any]:
    if not hasattr(parameter, "ds_id"):  # only ZeRO-3 spreads weights
        return nullcontext()
    import deepspeed

    gathered: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters([parameter])
    return gathered


def read_weights(state: Path) -> dict[str, Tensor]:
    """Read the whole weights of a state.

    Raises
    ------
    TrainingError
        It has none, or they are damaged.
    """
    if not (state / WEIGHTS).is_file():
        raise TrainingError(
            f"{state} has no {WEIGHTS}: another version wrote it; begin again in another --out"
        )
    return _read(state / WEIGHTS)


def load_harmless(path: str, map_location: Any = None) -> Any:
    """Load what DeepSpeed has pickled, in place of its own way, which runs what a file says.

    Raises
    ------
    TrainingError
        It asks for more than tensors, plain values and the three classes that DeepSpeed writes.
    """
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    try:
        with safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            return torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        raise TrainingError(f"{path} is not loaded: it holds code, or is damaged") from error


def _flat(moments: Mapping[int, Mapping[str, Any]]) -> dict[str, Tensor]:
    """Name the tensors of an optimizer `{number of the weight}.{name}`."""
    return {
        f"{number}.{name}": value.cpu().contiguous()
        for number, state in moments.items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def _nested(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = tensor
    return moments


def _read(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    return tensors


def trained_weights(folder: Path) -> tuple[int, dict[str, Tensor]]:
    """Read what was trained, whole, however it was spread over ranks.

    It is that of the lowest validation loss where the run keeps it, else of the last state on disk.

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
        There is no state, or it is not of this format.
    """
    found = latest(folder)
    if found is None:
        raise TrainingError(f"{folder} holds no state")
    if kept := best(folder):
        return int(kept["step"]), _read(folder / kept["weights"])
    step, state = found
    return step, read_weights(state)


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
