"""A report that a model writes in parts, such as organ by organ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.protocol import Generation


def cut_off(generation: Generation, at: str) -> Generation:
    """End a text before the first `at`; it is complete then. "" cuts nothing."""
    end = generation.text.find(at) if at else -1
    if end < 0:
        return generation
    tokens, place = [], 0
    for token in generation.tokens:
        if place >= end:
            break
        tokens.append(token[: end - place])
        place += len(token)
    return replace(
        generation,
        text=generation.text[:end],
        tokens=tuple(tokens),
        token_ids=generation.token_ids[: len(tokens)],
        token_logprobs=generation.token_logprobs[: len(tokens)],
        finish_reason="eos",
    )


def joined(parts: Sequence[Generation]) -> Generation:
    """Join the parts that say something by a space; the whole is complete if every part is."""
    if len(parts) == 1:
        return parts[0]
    saying = [part for part in parts if part.text.strip()]
    tokens = [
        (" " if i and not t else "") + token
        for i, part in enumerate(saying)
        for t, token in enumerate(part.tokens)
    ]
    reasons = [part.finish_reason for part in parts if part.finish_reason != "eos"]
    return replace(
        parts[0],
        text="".join(tokens),
        tokens=tuple(tokens),
        token_ids=sum((part.token_ids for part in saying), ()),
        token_logprobs=sum((part.token_logprobs for part in saying), ()),
        finish_reason=reasons[0] if reasons else "eos",
    )
