"""Token by token: from the embeddings of prompts to generated tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import Cache, DynamicCache, StaticLayer

from engine.checkpoints.decoding import Decoding
from engine.inference.compiled import CompiledStep, Step
from engine.inference.writing import GeneratedTokens, Writing, choose, completed, weighed
from engine.network.vision_language_model import VisionLanguageModel
from engine.protocol import Compilation, Sampling

CAPACITY_STEP = 256
"""Caches grow in such steps, so that prompts of different lengths share one compiled step."""

SHAPES_KEPT = 4
"""Caches of so many shapes stay for later calls, the latest used; a compiled step is bound to its
cache."""

WARM_STEPS = 3
"""The first call compiles, the second records a CUDA graph, the third replays it."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """Prompts that were read.

    Parameters
    ----------
    logits : Tensor of float32, shape (B, vocabulary)
        For the first token of each answer.
    keys_values : list of (Tensor, Tensor), each (B, heads, n, head width)
        Of every layer, for the n positions of the longest prompt.
    is_token : Tensor of bool, shape (B, n)
        False where a shorter prompt was padded, on its left.
    """

    logits: Tensor
    keys_values: list[tuple[Tensor, Tensor]]
    is_token: Tensor

    def repeated(self, times: int) -> Prefix:
        """Each prompt `times` in a row, without reading it again."""
        rows = torch.arange(len(self.logits)).repeat_interleave(times)
        return self if times == 1 else self.at(rows)

    def at(self, rows: Tensor) -> Prefix:
        """The prompts of these rows."""
        rows = rows.to(self.logits.device)
        keys_values = [(keys[rows], values[rows]) for keys, values in self.keys_values]
        return Prefix(self.logits[rows], keys_values, self.is_token[rows])


@dataclass(frozen=True, eq=False)
class Shape:
    """The cache of one shape, and the step that is compiled for it."""

    layers: list[StaticLayer]
    step: Step


class Generator:
    """Lets a model read prompts and write answers.

    Keys and values live in a cache of fixed size while the model writes, so that every step has
    the same shapes and, on a GPU, runs as one compiled CUDA graph.

    Parameters
    ----------
    model : VisionLanguageModel
        In eval mode.
    decoding : Decoding
        What a sampling that leaves something open is completed by, and what ends a text.
    compiles : bool, optional
        Whether steps are compiled; by default on a GPU only.
    """

    def __init__(
        self, model: VisionLanguageModel, decoding: Decoding, *, compiles: bool | None = None
    ):
        self._model = model
        self._decoding = decoding
        self._shapes: OrderedDict[tuple[int, int], Shape] = OrderedDict()
        self.alone = True
        self.compiles = next(model.parameters()).is_cuda if compiles is None else compiles
        self.compilation = Compilation()

    def read(self, prompts: Sequence[Tensor]) -> Prefix:
        """Read prompts, each the embeddings (n, hidden size) of its tokens, in one batch."""
        embeddings = pad_sequence(list(prompts), batch_first=True, padding_side="left")
        longest = embeddings.shape[1]
        lengths = [len(prompt) for prompt in prompts]
        padding = longest - torch.tensor(lengths, device=embeddings.device)
        positions = torch.arange(longest, device=embeddings.device) - padding[:, None]
        is_token = positions >= 0
        cache = DynamicCache()
        logits = self._model(
            embeddings,
            attention_mask=is_token if min(lengths) < longest else None,
            position_ids=positions.clamp(min=0),
            past_key_values=cache,
            logits_to_keep=1,
        )
        keys_values = [(keys, values) for keys, values, *_ in cache]
        return Prefix(logits[:, -1].float(), keys_values, is_token)

    def weigh(self, prefix: Prefix, first: Sequence[Sequence[int]]) -> list[list[float]]:
        """Weigh the tokens that each answer may begin with; see `weighed`."""
        return weighed(prefix.logits, first)

    def write(
        self,
        prefix: Prefix,
        sampling: Sampling,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> list[GeneratedTokens]:
        """Answer prompts that were read, each `samples` times in a row.

        Parameters
        ----------
        prefix : Prefix
            The prompts, as they were read.
        samples : int
            How many texts each prompt gets.
        sampling : Sampling
            Sample i is drawn with `seed` + i, wherever it stands in the batch.
        seeds : sequence of int, optional
            One for each prompt, in place of the same `seed` for all.
        on_token : callable, optional
            Told each token of the first text.
        """
        how = completed(self._decoding, sampling)
        texts = [
            Writing(torch.Generator().manual_seed(seed + i))
            for seed in seeds or [sampling.seed] * len(prefix.logits)
            for i in range(samples)
        ]
        prefix = prefix.repeated(samples)
        logits, steps = prefix.logits, None
        while True:
            chosen = choose(logits, texts, how)
            scores = logits.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0]
            first_is_open = texts[0].finish_reason is None
            # one wait for the device; every id is exact in a float64
            ids, logprobs = torch.stack([chosen.double(), scores.double()]).tolist()
            for text, token, score in zip(texts, map(int, ids), logprobs, strict=True):
                text.add(token, score, how.ends, sampling)
            if on_token is not None and first_is_open and texts[0].finish_reason != "eos":
                on_token(int(ids[0]))
            if all(text.finish_reason for text in texts):
                return [text.done() for text in texts]
            steps = steps or self._steps(prefix, sampling.max_new_tokens)
            logits = steps(chosen)

    def warm_up(self, prompt: Tensor, texts: int, max_new_tokens: int) -> None:
        """Compile the steps of up to so many texts.

        Parameters
        ----------
        prompt : Tensor, shape (n, hidden size)
        texts : int
        max_new_tokens : int
        """
        prefix = self.read([prompt])
        for rows in {bucket(count) for count in range(1, texts + 1)}:
            step = self._steps(prefix.repeated(rows), max_new_tokens)
            tokens = torch.zeros(rows, dtype=torch.long, device=prompt.device)
            for _ in range(WARM_STEPS):
                step(tokens)

    def require_ready(self) -> None:
        """Need nothing beside this process."""

    def forget(self) -> None:
        """Give the memory of kept caches back."""
        self._shapes.clear()

    def _steps(self, prefix: Prefix, max_new_tokens: int) -> Callable[[Tensor], Tensor]:
        """Return a function from the last tokens (R,) to the next logits (R, vocabulary)."""
        texts, n = prefix.is_token.shape
        rows = bucket(texts) if self.compiles else texts
        # what fills a bucket up writes the last text once more
        source = torch.arange(rows, device=prefix.is_token.device).clamp(max=texts - 1)
        prefix = prefix.at(source) if rows > texts else prefix
        capacity = capacity_for(n, max_new_tokens)
        shape = self._shape_with(prefix, capacity)
        cache = Cache(layers=list(shape.layers))
        visible = prefix.is_token.new_zeros(rows, 1, 1, capacity)
        visible[:, 0, 0, :n] = prefix.is_token
        positions = prefix.is_token.sum(dim=1, keepdim=True)
        slot = n

        def step(tokens: Tensor) -> Tensor:
            nonlocal slot, positions
            visible[..., slot] = True
            logits = shape.step(self._model, tokens[source][:, None], visible, positions, cache)
            slot, positions = slot + 1, positions + 1
            return logits[:texts]

        return step

    def _shape_with(self, prefix: Prefix, capacity: int) -> Shape:
        """Move keys and values into layers of fixed size, earlier ones where there are some."""
        key = (len(prefix.is_token), capacity)
        if key in self._shapes:
            self._shapes.move_to_end(key)
        else:
            while len(self._shapes) >= SHAPES_KEPT:
                self._shapes.popitem(last=False)
            layers = [StaticLayer(capacity) for _ in prefix.keys_values]
            step = CompiledStep(decode_step, self.compilation) if self.compiles else decode_step
            self._shapes[key] = Shape(layers, step)
        shape = self._shapes[key]
        for layer, (keys, values) in zip(shape.layers, prefix.keys_values, strict=True):
            layer.reset()
            layer.update(keys, values)
        return shape


def bucket(rows: int) -> int:
    """Return the next power of two: batches of several sizes share one compiled step."""
    return 1 << (rows - 1).bit_length()


def capacity_for(prompt_tokens: int, max_new_tokens: int) -> int:
    """Return the slots of a cache that holds a prompt and its answer."""
    return -(-(prompt_tokens + max_new_tokens) // CAPACITY_STEP) * CAPACITY_STEP


def decode_step(
    model: VisionLanguageModel, tokens: Tensor, visible: Tensor, positions: Tensor, cache: Cache
) -> Tensor:
    """Read one token of every text, and say what may follow.

    Parameters
    ----------
    model : VisionLanguageModel
    tokens : Tensor, shape (R, 1)
    visible : Tensor, shape (R, 1, 1, capacity)
        Which places of the cache may be attended to.
    positions : Tensor, shape (R, 1)
    cache : Cache
        Keys and values of what was read; those of these tokens are put in.

    Returns
    -------
    Tensor, float32, shape (R, vocabulary)
        Logits of the tokens that follow.
    """
    logits = model(
        model.embed_tokens(tokens),
        attention_mask=visible,
        position_ids=positions,
        past_key_values=cache,
    )
    return logits[:, -1].float()
