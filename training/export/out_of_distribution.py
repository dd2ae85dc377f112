"""The training distribution of a vision tower, outside of which its model abstains."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from dicom_io.errors import UnusableData
from engine.checkpoints.layouts.native import OUT_OF_DISTRIBUTION, distribution_file
from engine.checkpoints.weights import read_tensors, write_tensors
from engine.network.families.med3dvlm import Med3DVLM
from engine.network.out_of_distribution import (
    TrainingDistribution,
    fit_distribution,
    image_features,
)
from engine.network.towers.inference_form import has_inference_form, use_inference_form
from engine.network.vision_language_model import VisionLanguageModel
from training.data.store import Store, as_unit_interval
from training.learner.material import Material


def keep_distribution(model: Med3DVLM, material: Material, images: int, out: Path) -> None:
    """Measure the training distribution once for a run, in `out`; one process does.

    Parameters
    ----------
    model : Med3DVLM
    material : Material
    images : int
        How many of the training part are measured.
    out : Path
        Of the run.

    Raises
    ------
    UnusableData
        No validation part says how far an unseen image may lie.
    """
    if os.environ.get("RANK", "0") != "0" or distribution_file(out):
        return
    seen, unseen = material.parts["train"][:images], material.parts["validation"]
    if not unseen:
        raise UnusableData(
            "out_of_distribution needs images in the validation part: they set its limit"
        )
    distribution = training_distribution(model, material.store, seen, unseen)
    write_tensors(distribution.to_tensors(), out, stem=Path(OUT_OF_DISTRIBUTION).stem)


def read_distribution(out: Path) -> TrainingDistribution | None:
    """Read what `keep_distribution` left in a run."""
    path = distribution_file(out)
    return TrainingDistribution.from_tensors(read_tensors([path])) if path else None


@torch.no_grad()
def training_distribution(
    model: VisionLanguageModel, store: Store, seen: Sequence[str], unseen: Sequence[str]
) -> TrainingDistribution:
    """Fit what images look like to a model.

    Parameters
    ----------
    model : VisionLanguageModel
        Of any family. Of a DCFormer limits for bfloat16 are measured, too.
    store : Store
        In 16 bits: the texture of 8 is not that of the inputs which the model will be given.
    seen, unseen : sequence of str
        Images that the distribution is fitted to, and those that set its limits.
    """
    device = next(model.parameters()).device

    def describe(keys: Sequence[str], see: Callable[[Tensor], list[Tensor]]) -> dict[str, Tensor]:
        described = []
        for key in track(keys, "training distribution", console=Console(stderr=True)):
            volume = as_unit_interval(store.stored(key))[None].to(device)
            affine = store.images[key].affine_lps
            at = None if affine is None else np.array(affine)
            described.append(image_features(volume, see(volume), at))
        return {name: torch.cat([d[name] for d in described]).cpu() for name in described[0]}

    see, rounded = model.encode_image, None
    if isinstance(model, nn.Module) and has_inference_form(model):
        tower = model.get_submodule("model.vision_tower").eval()
        see, served = _inference_form(tower), _inference_form(tower, torch.bfloat16)
        rounded = describe(unseen, served)
    return fit_distribution(describe(seen, see), describe(unseen, see), rounded=rounded)


def _inference_form(tower: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Copy a tower in the form that an engine on the CPU runs."""
    form = copy.deepcopy(tower)
    use_inference_form(form, dtype)
    return form
