"""What a recipe leaves out, and the model that a run begins with says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.checkpoints.checkpoint import describe
from engine.network.families.med3dvlm import Med3DVLMConfig
from engine.network.towers.dcformer import DCFormerConfig
from engine.network.towers.vision import VisionConfig
from engine.network.towers.vit3d import ViT3DConfig
from training.recipe.model import DCFORMER_SIZES, ViT3D


def take_after(values: dict[str, Any], model: str) -> None:
    """Fill in the tables of a recipe that are not there.

    Parameters
    ----------
    values : dict
        The file; it is changed.
    model : str
        A checkpoint: its header is read, no weights.
    """
    found = describe(model)
    values.setdefault("preprocess", found.preprocess.to_dict())
    if "vision" not in values and (table := _vision(found.network.vision)):
        values["vision"] = table
    if not isinstance(found.network, Med3DVLMConfig) or found.prompt is None:
        return
    for stage in ("projector", "finetune"):
        if stage in values:
            values[stage].setdefault("report_questions", [found.prompt.report])


def _vision(config: VisionConfig) -> dict[str, Any] | None:
    if isinstance(config, DCFormerConfig):
        return {name: getattr(config, name) for name in DCFORMER_SIZES}
    if isinstance(config, ViT3DConfig):
        return {"vit3d": {name: asdict(config)[name] for name in ViT3D.model_fields}}
    return None
