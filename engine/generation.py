"""Token by token: from the embeddings of a prompt to generated tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.cache_utils import DynamicCache

from engine.med3dvlm import Med3DVLM
from engine.protocol import FinishReason


@dataclass(frozen=True)
class GeneratedTokens:
    """Tokens without the one that ends a text, and the natural logarithm of their probability."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


def generate(
    model: Med3DVLM,
    prompt: Tensor,
    *,
    eos_id: int,
    max_new_tokens: int,
    seed: int | None = None,
) -> GeneratedTokens:
    """Continue one prompt; keys and values of what was read already are cached.

    Parameters
    ----------
    prompt : Tensor, shape (1, n, hidden size)
        Embeddings, image tokens included.
    seed : int, optional
        None takes the likeliest token at every step; a number draws at temperature 1.
    """
    draw = None if seed is None else torch.Generator().manual_seed(seed)
    cache = DynamicCache(config=model.config.llm)
    ids: list[int] = []
    logprobs: list[float] = []
    embeddings = prompt
    while len(ids) < max_new_tokens:
        logits = model(embeddings, past_key_values=cache)[0, -1]
        scores = logits.float().log_softmax(dim=-1).cpu()
        token = int(scores.argmax()) if draw is None else _drawn(scores, draw)
        if token == eos_id:
            return GeneratedTokens(tuple(ids), tuple(logprobs), "eos")
        ids.append(token)
        logprobs.append(float(scores[token]))
        embeddings = model.embed_tokens(torch.tensor([[token]], device=prompt.device))
    return GeneratedTokens(tuple(ids), tuple(logprobs), "length")


def _drawn(scores: Tensor, draw: torch.Generator) -> int:
    return int(torch.multinomial(scores.exp(), 1, generator=draw))


def pieces(tokenizer: Tokenizer, ids: tuple[int, ...]) -> tuple[str, ...]:
    """Split a text into what each token adds to it.

    A character whose bytes span several tokens belongs to the last of them; one that was cut off
    by the limit is left out. White space before the text is dropped.
    """
    found: list[str] = []
    written = ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end]).lstrip()
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            text = written
        found.append(text[len(written) :])
        written = text
    return tuple(found)
