"""Texts on their way: what each has written, and which token comes next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

import torch
from torch import Tensor

from dicom_io.errors import EngineError
from engine.checkpoints.decoding import Decoding
from engine.inference.loops import end_before_loop
from engine.protocol import FinishReason, Sampling


@dataclass(frozen=True)
class GeneratedTokens:
    """Tokens without the one that ends a text, and the natural logarithm of their probability."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


@dataclass
class Writing:
    """A text in the making; `draw` is where its luck comes from."""

    draw: torch.Generator = field(default_factory=torch.Generator)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def add(self, token: int, logprob: float, ends: Collection[int], sampling: Sampling) -> None:
        """Take the next token, unless the text has ended; see whether it ends now.

        Parameters
        ----------
        token : int
        logprob : float
            Natural logarithm of its probability.
        ends : collection of int
            The tokens that end a text.
        sampling : Sampling

        Raises
        ------
        EngineError
            The model computed no number; such a token must not reach a report.
        """
        if self.finish_reason is not None:
            return
        if not isfinite(logprob):
            raise EngineError(
                f"the model computed {logprob} in place of a probability; another dtype may do"
            )
        if token in ends:
            self.finish_reason = "eos"
            return
        self.ids.append(token)
        self.logprobs.append(logprob)
        if sampling.stop_at_loop and (end := end_before_loop(self.ids)):
            del self.ids[end:], self.logprobs[end:]
            self.finish_reason = "repetition"
        elif len(self.ids) == sampling.max_new_tokens:
            self.finish_reason = "length"

    def done(self) -> GeneratedTokens:
        return GeneratedTokens(
            tuple(self.ids), tuple(self.logprobs), self.finish_reason or "length"
        )


def weighed(logits: Tensor, first: Sequence[Sequence[int]]) -> list[list[float]]:
    """Weigh tokens against one another.

    Parameters
    ----------
    logits : Tensor, shape (B, vocabulary)
        Of the first token of each answer.
    first : sequence of sequences of int
        For each answer the tokens that it may begin with; none where it is open.

    Returns
    -------
    list of list of float
        Their probabilities, those of each answer together 1.
    """
    return [row[list(ids)].softmax(dim=0).tolist() for row, ids in zip(logits, first, strict=True)]


def completed(decoding: Decoding, sampling: Sampling) -> Decoding:
    """Put what is asked for in place of the checkpoint's defaults."""
    names = ("temperature", "top_p", "top_k", "repetition_penalty")
    asked = {name: getattr(sampling, name) for name in names}
    return replace(decoding, **{k: value for k, value in asked.items() if value is not None})


def choose(logits: Tensor, texts: Sequence[Writing], how: Decoding) -> Tensor:
    """Choose the next token of every text.

    Parameters
    ----------
    logits : Tensor, shape (R, vocabulary)
    texts : sequence of Writing
        R texts; what each has written is penalised, and each draws from its own generator.
    how : Decoding

    Returns
    -------
    Tensor, shape (R,)
        Ids.
    """
    if how.repetition_penalty != 1:
        logits = _penalised(logits, texts, how.repetition_penalty)
    if how.temperature == 0:
        return logits.argmax(dim=-1)
    uniform = torch.stack([torch.rand(1, generator=t.draw, dtype=torch.float64) for t in texts])
    below_best = (logits - logits.amax(dim=-1, keepdim=True)).double()  # no temperature overflows
    spread = below_best / how.temperature
    return drawn(spread, uniform.to(logits.device)[:, 0], how.top_p, how.top_k)


def drawn(logits: Tensor, uniform: Tensor, top_p: float = 1.0, top_k: int = 0) -> Tensor:
    """Draw by inverting the distribution function.

    One number a row, so that a row's draw does not depend on the rows beside it.

    Parameters
    ----------
    logits : Tensor, shape (R, V)
    uniform : Tensor, shape (R,)
        Numbers in [0, 1).
    top_p : float
        Only the likeliest ids that together reach it may be drawn.
    top_k : int
        Only so many of the likeliest ids may be drawn, before `top_p` looks at them; 0: all.

    Returns
    -------
    Tensor, shape (R,)
        Ids.
    """
    best, ids = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = best[:, : top_k or None].softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = probabilities * (before < top_p)
    reached = kept.cumsum(dim=-1)
    place = (reached <= uniform[:, None] * reached[:, -1:]).sum(dim=-1, keepdim=True)
    return ids.gather(1, place.clamp(max=probabilities.shape[-1] - 1))[:, 0]


def _penalised(logits: Tensor, texts: Sequence[Writing], penalty: float) -> Tensor:
    written = torch.zeros_like(logits, dtype=torch.bool)
    for row, text in zip(written, texts, strict=True):
        row[text.ids] = True
    less = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(written, less, logits)
