"""What all families do with their language model, one of transformers' own classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache

Network = TypeVar("Network", bound=nn.Module)


def logits(
    model: Any,
    head: nn.Module,
    inputs_embeds: Tensor,
    *,
    attention_mask: Tensor | None,
    position_ids: Tensor | None,
    past_key_values: Cache | None,
    logits_to_keep: int,
) -> Tensor:
    """Run a language model and its head on embeddings; see `VisionLanguageModel.__call__`."""
    hidden = model(
        inputs_embeds=inputs_embeds,
        attention_mask=attention_mask,
        position_ids=position_ids,
        past_key_values=past_key_values,
        use_cache=past_key_values is not None,
    ).last_hidden_state
    scores: Tensor = head(hidden[:, -logits_to_keep:])
    return scores


def without_memory(create: Callable[[], Network], llm: PreTrainedConfig) -> Network:
    """Build a network whose parameters hold no memory, around a language model at `model`."""
    with torch.device("meta"):
        network = create()
    model = network.get_submodule("model")
    # Its frequencies are computed, and so are in no checkpoint
    model.rotary_emb = type(model.rotary_emb)(llm)
    return network
