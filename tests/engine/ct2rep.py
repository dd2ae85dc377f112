"""CT2Rep in small, filled from its published names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.checkpoint import load_checkpoint
from engine.network.families.ct2rep import CT2Rep
from tests.engine.golden import FAMILIES, filled_tensor

GOLDEN: dict[str, Any] = FAMILIES["ct2rep"]
_, _, *SIZE = GOLDEN["image_shape"]


def tensors() -> dict[str, Tensor]:
    """What the file holds, dead weight too; texts do not end at once."""
    state = {name: filled_tensor(name, tuple(s)) for name, s in GOLDEN["layout"].items()}
    state["encoder_decoder.model.tgt_embed.0.lut.weight"] *= 4
    state["encoder_decoder.logit.bias"][0] -= GOLDEN["logit_bias_offset"]
    return state


def write_folder(folder: Path) -> Path:
    """A trainer's file, and the vocabulary beside it."""
    torch.save({"epoch": 3, "state_dict": tensors(), "optimizer": {}}, folder / "pytorch_model.bin")
    words = ["<unk>", *(f"word{n}" for n in range(2, GOLDEN["V"] + 1))]
    numbered = {str(n): word for n, word in enumerate(words, 1)}
    (folder / "idx2token.json").write_text(json.dumps(numbered))
    told = {
        "model_type": "ct2rep",
        "input_size": SIZE,
        "patch_size": GOLDEN["ctvit"]["patch_size"],
        "temporal_patch_size": GOLDEN["ctvit"]["temporal_patch_size"],
        **GOLDEN["args"],
    }
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def load_tiny(folder: Path) -> CT2Rep:
    model = load_checkpoint(write_folder(folder)).model
    assert isinstance(model, CT2Rep)
    return model
