"""A loss of where: on which cells of the image each finding lies, for phantoms alone.

A report says that something is there, and nothing of where it shows. A small lesion is then one
voxel in a thousand that has to be found by its name. Phantoms know the voxels, so each stage of the
vision tower between the stem and the last can be told. The head is left behind after stage 1.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dicom_io.errors import RecipeError
from engine.network.towers.dcformer import DCFormerConfig
from engine.network.towers.vision import VisionConfig

STAGES = (1, 2, 3)
"""The stem sees too little around a cell, and the last stage has too few cells."""


class DenseHead(nn.Module):
    """One linear map a stage, from the features of a cell to the findings in it.

    Parameters
    ----------
    vision : VisionConfig
        Of a DCFormer.
    findings : int
        Number of findings.

    Raises
    ------
    RecipeError
        It is another tower, whose stages have no cells of these sizes.
    """

    def __init__(self, vision: VisionConfig, findings: int) -> None:
        super().__init__()
        if not isinstance(vision, DCFormerConfig):
            raise RecipeError("contrastive.dense goes with a DCFormer")
        self.grids = [tuple(ceil(n / (4 << stage)) for n in vision.input_size) for stage in STAGES]
        self.maps = nn.ModuleList(nn.Linear(vision.shapes[s][1], findings) for s in STAGES)

    def forward(self, hidden: list[Tensor], cells: Tensor) -> Tensor:
        """Return the mean over stages, images and findings of a balanced cross-entropy.

        Where a finding lies and where it does not weigh the same, however small it is. Each image
        counts for itself, so that passes and ranks add up.

        Parameters
        ----------
        hidden : list of Tensor
            Hidden states (B, tokens, C) of the tower, D slowest.
        cells : Tensor, shape (B, findings, d, h, w)
            1 where a finding lies in a cell of stage 1, else 0.
        """
        losses = []
        for stage, grid, named in zip(STAGES, self.grids, self.maps, strict=True):
            there = F.adaptive_max_pool3d(cells.float(), grid).flatten(2)
            logits = named(hidden[stage]).mT.float()
            wrong = F.binary_cross_entropy_with_logits(logits, there, reduction="none")
            losses.append((_mean(wrong, there) + _mean(wrong, 1 - there)).mean() / 2)
        return torch.stack(losses).mean()


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the last axis of what is chosen; 0 where nothing is."""
    return (values * chosen).sum(-1) / chosen.sum(-1).clamp(min=1)
