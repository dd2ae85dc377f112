"""Whether a device is fast enough to judge what a model wrote."""

from __future__ import annotations

from engine.network.vision_language_model import VisionLanguageModel

LARGE = 500_000_000
"""From so many weights of a language model on, a CPU takes minutes for one sentence, and what a
forward pass keeps for the backward one is gigabytes."""


def is_large(model: VisionLanguageModel) -> bool:
    """Whether a model's language model has so many weights."""
    return sum(weight.numel() for weight in model.llm_layers.parameters()) >= LARGE


def is_too_slow(model: VisionLanguageModel) -> bool:
    """Whether a draft would wait for minutes: a large model on a CPU."""
    return next(model.parameters()).device.type == "cpu" and is_large(model)
