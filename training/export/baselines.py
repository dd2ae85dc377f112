"""The baselines of evidence, measured on phantoms: `engine.judgement.baselines`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS, PLANES, Truth
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint
from engine.checkpoints.folder import seal
from engine.judgement.baselines import EVIDENCE, Baselines, Box, Contrast, body_box
from engine.judgement.evidence import DividedTower, divided_tower
from engine.network.towers.inference_form import use_inference_form
from training.data.wordings import TAUGHT

FIRST_SEED = 40_000_000
"""Far from the phantoms that a model is trained and tested on."""

TOO_VAGUE: tuple[str, ...] = ()
"""Findings whose evidence misses its bar (`python -m bench.evidence`): they get none."""


def phantom_contrasts() -> tuple[Contrast, ...]:
    """Return how the embedded model says that each of its findings is there, and is not."""
    return tuple(
        Contrast(finding, _terms(finding), tuple(TAUGHT["absent"][finding]))
        for finding in FINDINGS
        if finding not in TOO_VAGUE
    )


def _terms(finding: str) -> tuple[str, ...]:
    """Return its name, and the wordings that say it without the name."""
    said = (wording.lower().rstrip(".") for wording in TAUGHT["present"].get(finding, ()))
    return (finding, *(one for one in said if finding not in one))


def keep_baselines(folder: Path, images: int) -> Path:
    """Write the baselines beside a native checkpoint's weights and vouch for them.

    Parameters
    ----------
    folder : Path
        Of the checkpoint; an older file of baselines is replaced.
    images : int
        See `phantom_baselines`.

    Raises
    ------
    EngineError
        The model was not trained on phantoms, or its tower cannot be entered.
    CheckpointMismatch
        A file is missing, damaged or changed.
    """
    checkpoint = load_checkpoint(folder)
    if not checkpoint.card.demonstration:
        raise EngineError("only of models of phantoms is it known what their sentences deny")
    use_inference_form(checkpoint.model)
    phantom_baselines(checkpoint, images).save(folder / EVIDENCE)
    seal(folder)
    return folder / EVIDENCE


@torch.no_grad()
def phantom_baselines(checkpoint: Checkpoint, images: int) -> Baselines:
    """Average the tower's early maps of phantoms without each finding.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its vision tower can be entered (`DividedTower`).
    images : int
        Phantoms of each plane; about two thirds of them lack a finding.

    Raises
    ------
    EngineError
        The tower cannot be entered.
    """
    tower = divided_tower(checkpoint.model)
    if tower is None:
        raise EngineError("this model's vision tower cannot be entered where places are apart")
    contrasts = phantom_contrasts()
    sums: dict[tuple[str, str], Tensor] = {}
    boxes: dict[tuple[str, str], Tensor] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for truth, grid, box in _seen(checkpoint, tower, images):
        for finding in (one.finding for one in contrasts):
            if truth.finding(finding) is None:
                key = (truth.plane, finding)
                seen[key] += 1
                sums[key] = sums.get(key, 0) + grid
                boxes[key] = boxes.get(key, 0) + torch.tensor(box)
    means = {key: total / seen[key] for key, total in sums.items()}
    mean_boxes = {key: _box(total / seen[key]) for key, total in boxes.items()}
    return Baselines(contrasts, means, mean_boxes)


def _seen(
    checkpoint: Checkpoint, tower: DividedTower, images: int
) -> Iterator[tuple[Truth, Tensor, Box]]:
    device = next(checkpoint.model.parameters()).device
    seeds = range(FIRST_SEED, FIRST_SEED + images)
    console = Console(stderr=True)
    for seed in track(seeds, "phantoms without findings", console=console):
        for plane in PLANES:
            phantom = make_phantom(seed, plane=plane)
            pixels = prepare(phantom.volume, checkpoint.preprocess).pixels
            volume = torch.from_numpy(pixels)[None]
            grid = tower.to_grid(volume.to(device))[0].cpu().clone()
            yield phantom.truth, grid, body_box(volume)


def _box(ends: Tensor) -> Box:
    return tuple((float(start), float(stop)) for start, stop in ends)
