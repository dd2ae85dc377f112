"""Token by token for models with a state: each prompt is read, and each text written, by itself.

Linear attention (Qwen3.5) keeps a state of fixed size that cannot be padded or cut as keys and
values can, so `engine.inference.generation.Generator` does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache, DynamicCache

from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.inference.writing import GeneratedTokens, Writing, choose, completed, weighed
from engine.network.vision_language_model import VisionLanguageModel
from engine.protocol import Compilation, Sampling


@dataclass(frozen=True, eq=False)
class ReadPrompts:
    """Prompts that were read.

    Parameters
    ----------
    logits : Tensor of float32, shape (B, vocabulary)
        For the first token of each answer.
    caches : list of Cache
        What was kept of each.
    """

    logits: Tensor
    caches: list[Cache]


class SequentialGenerator:
    """Lets a model with a state read prompts and write answers; see `Generator`.

    Parameters
    ----------
    model : VisionLanguageModel
        In eval mode.
    decoding : Decoding
        What a sampling that leaves something open is completed by, and what ends a text.
    """

    def __init__(self, model: VisionLanguageModel, decoding: Decoding):
        self.alone = True
        self.compiles = False
        self._model = model
        self._decoding = decoding
        self.compilation = Compilation()

    def read(self, prompts: Sequence[Tensor]) -> ReadPrompts:
        """Read prompts, each the embeddings (n, hidden size) of its tokens."""
        caches: list[Cache] = [DynamicCache(config=self._model.llm_config) for _ in prompts]
        logits = [
            self._model(prompt[None], past_key_values=cache, logits_to_keep=1)[:, -1].float()
            for prompt, cache in zip(prompts, caches, strict=True)
        ]
        return ReadPrompts(torch.cat(logits), caches)

    def weigh(self, prefix: ReadPrompts, first: Sequence[Sequence[int]]) -> list[list[float]]:
        """Weigh the tokens that each answer may begin with; see `weighed`."""
        return weighed(prefix.logits, first)

    def write(
        self,
        prefix: ReadPrompts,
        sampling: Sampling,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> list[GeneratedTokens]:
        """Answer prompts that were read, each `samples` times in a row; see `Generator.write`.

        Parameters
        ----------
        prefix : ReadPrompts
        sampling : Sampling
        samples : int
        seeds : sequence of int, optional
        on_token : callable, optional
        """
        how = completed(self._decoding, sampling)
        texts: list[GeneratedTokens] = []
        for row, seed in enumerate(seeds or [sampling.seed] * len(prefix.caches)):
            for sample in range(samples):
                text = Writing(torch.Generator().manual_seed(seed + sample))
                cache = deepcopy(prefix.caches[row])
                told = None if texts else on_token
                self._write(text, prefix.logits[row : row + 1], cache, how, sampling, told)
                texts.append(text.done())
        return texts

    def _write(
        self,
        text: Writing,
        logits: Tensor,
        cache: Cache,
        how: Decoding,
        sampling: Sampling,
        on_token: Callable[[int], None] | None,
    ) -> None:
        while True:
            chosen = choose(logits, [text], how)
            token = int(chosen[0])
            text.add(token, float(logits.log_softmax(dim=-1)[0, token]), how.ends, sampling)
            if on_token is not None and text.finish_reason != "eos":
                on_token(token)
            if text.finish_reason is not None:
                return
            words = self._model.embed_tokens(chosen[:, None])
            logits = self._model(words, past_key_values=cache)[:, -1].float()

    def warm_up(self, prompt: Tensor, texts: int, max_new_tokens: int) -> None:
        """Compile nothing. See `Generator.warm_up`.

        Parameters
        ----------
        prompt : Tensor, shape (n, hidden size)
        texts : int
        max_new_tokens : int
        """

    def require_ready(self) -> None:
        """Need nothing beside this process."""

    def forget(self) -> None:
        """Keep nothing."""


class TextGenerator(Protocol):
    """What writes texts; what one generator has read, the same one writes to.

    Parameters
    ----------
    alone : bool
        Whether it takes one call at a time.
    """

    alone: bool
    compilation: Compilation
    compiles: bool

    def read(self, prompts: Sequence[Tensor]) -> Any: ...

    def weigh(self, prefix: Any, first: Sequence[Sequence[int]]) -> list[list[float]]:
        """Weigh the tokens that each answer may begin with; see `generation.weighed`."""
        ...

    def write(
        self,
        prefix: Any,
        sampling: Sampling,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> list[GeneratedTokens]:
        """See `Generator.write`.

        Parameters
        ----------
        prefix : object
            What `read` gave.
        sampling : Sampling
        samples : int
        seeds : sequence of int, optional
        on_token : callable, optional
        """
        ...

    def warm_up(self, prompt: Tensor, texts: int, max_new_tokens: int) -> None:
        """See `Generator.warm_up`.

        Parameters
        ----------
        prompt : Tensor, shape (n, hidden size)
        texts : int
        max_new_tokens : int
        """
        ...

    def require_ready(self) -> None:
        """Raise `EngineUnavailable` where what it needs beside this process does not answer."""
        ...

    def forget(self) -> None: ...


def has_state(llm: PreTrainedConfig) -> bool:
    """Whether layers of a language model carry a state in place of keys and values."""
    return "linear_attention" in (getattr(llm, "layer_types", None) or ())


def generator_for(model: VisionLanguageModel, decoding: Decoding) -> TextGenerator:
    """Return the generator that fits a model's layers."""
    kind = SequentialGenerator if has_state(model.llm_config) else Generator
    return kind(model, decoding)
