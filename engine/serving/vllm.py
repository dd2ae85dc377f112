"""A language model in a vLLM server writes the text; vision tower and projector stay here.

A prompt travels as the embeddings of its tokens, image tokens spliced in: `POST /v1/completions`
with `prompt_embeds`. Token ids and their probabilities come back. The server reads embeddings by
`torch.load` (CVE-2025-62164): it must listen on loopback or on a trusted network, with a token.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dicom_io.errors import EngineError, EngineUnavailable
from engine.checkpoints.checkpoint import Checkpoint, describe, load_described
from engine.checkpoints.decoding import Decoding
from engine.checkpoints.llm_export import require_exportable, served_name
from engine.inference.device import choose_device, choose_dtype, device_memory
from engine.inference.local import LocalEngine
from engine.inference.writing import GeneratedTokens, Writing, completed
from engine.network.language_model import WritingNetwork
from engine.network.towers.inference_form import use_inference_form
from engine.protocol import Compilation, Sampling
from engine.serving.calls import PROBE_TIMEOUT, Calls, Unanswered, authorized, lines, read_json
from engine.serving.hosts import Host
from engine.serving.openai_engine import chunks, refusal

T = TypeVar("T")

COMPLETIONS = "/v1/completions"

AT_ONCE = 64
"""Texts of one call that are under way together; vLLM batches 256 of all callers by default."""


@contextmanager
def vllm_engine(
    name: str | Path,
    url: str,
    *,
    token: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    timeout_s: float = 600.0,
    patience_s: float = 5.0,
) -> Iterator[LocalEngine]:
    """Load all of a checkpoint but the layers of its language model, which a vLLM server runs.

    Parameters
    ----------
    name, device, dtype
        As `engine.load_engine` takes them.
    url : str
        Where the server listens. It must serve what `engine.checkpoints.llm_export` wrote of this
        checkpoint, under the name that `served_name` gives.
    token : str, optional
        Sent as a bearer token.
    timeout_s, patience_s : float
        As for `engine.serving.client.RemoteEngine`.

    Yields
    ------
    LocalEngine
        Several threads may ask it at the same time.

    Raises
    ------
    EngineError, CheckpointMismatch
        See `engine.load_engine`; or the language model cannot be exported.
    """
    where = choose_device(device)
    found = describe(name)
    require_exportable(found)
    # on the CPU weights stay in their file until they are used, and those of the layers never are
    checkpoint = load_described(found, device="cpu", dtype=choose_dtype(dtype, where))
    assert isinstance(checkpoint.model, WritingNetwork)
    checkpoint.model.keep_embeddings()
    # evidence and confidence are found by passes through the layers
    checkpoint = _without_penalty(replace(checkpoint, baselines=None, calibration=None))
    with device_memory(where):
        checkpoint.model.to(where)
    if where.type == "cpu":
        use_inference_form(checkpoint.model)
    calls = Calls(
        (url,),
        refusal,
        headers=authorized(token),
        timeout_s=timeout_s,
        patience_s=patience_s,
        silence_s=timeout_s,  # a text may wait for its turn without a sign of life
    )
    served = served_name(found.digest)
    with closing(calls):
        yield LocalEngine(checkpoint, lambda _, how: VllmGenerator(calls, served, how))


def _without_penalty(checkpoint: Checkpoint) -> Checkpoint:
    """Leave a repetition penalty of the checkpoint out, and let every draft say so.

    vLLM 0.32 takes what its buffer holds, such as tokens of an earlier text, for the tokens of a
    prompt of embeddings, and would make them less likely, too.
    """
    if checkpoint.decoding.repetition_penalty == 1:
        return checkpoint
    version = f"{checkpoint.card.version} (no repetition penalty)"
    return replace(
        checkpoint,
        card=replace(checkpoint.card, version=version),
        decoding=replace(checkpoint.decoding, repetition_penalty=1.0),
    )


class VllmGenerator:
    """Lets a vLLM server write answers to prompts; a `TextGenerator`.

    Parameters
    ----------
    calls : Calls
        Reach the server.
    name : str
        What it must call the model; it refuses requests for any other.
    decoding : Decoding
        What a sampling that leaves something open is completed by, and what ends a text.
    """

    def __init__(self, calls: Calls, name: str, decoding: Decoding):
        self.alone = False
        self.compiles = False
        self.compilation = Compilation()
        self._name = name
        self._decoding = decoding
        self._calls = calls

    def read(self, prompts: Sequence[Tensor]) -> list[str]:
        """Write prompts, each the embeddings (n, hidden size) of its tokens, as JSON has them."""
        return list(map(_encoded, prompts))

    def weigh(self, prefix: Sequence[str], first: Sequence[Sequence[int]]) -> list[list[float]]:
        """Weigh the tokens that each answer may begin with; see `generation.weighed`."""
        return [
            self._asked(partial(self._weigh, prompt, ids)) if ids else []
            for prompt, ids in zip(prefix, first, strict=True)
        ]

    def write(
        self,
        prefix: Sequence[str],
        sampling: Sampling,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> list[GeneratedTokens]:
        """Answer prompts, each `samples` times in a row; see `Generator.write`.

        Parameters
        ----------
        prefix : sequence of str
            What `read` gave.
        sampling : Sampling
            The same seed draws the same text here, but not the one that the local decoder draws.
        samples : int
        seeds : sequence of int, optional
        on_token : callable, optional
        """
        own = zip(prefix, seeds or repeat(sampling.seed), strict=False)
        texts = [(prompt, seed + i) for prompt, seed in own for i in range(samples)]
        (prompt, seed), others = texts[0], texts[1:]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = [pool.submit(self._text, *other, sampling) for other in others]
            first = self._text(prompt, seed, sampling, on_token)
            return [first, *(text.result() for text in waiting)]

    def require_ready(self) -> None:
        """Raise `EngineUnavailable` where the server does not answer, or serves another model."""
        try:
            self._calls.first_that(self._require_model)
        except Unanswered as error:  # callers of our own server know the wider kind
            raise EngineUnavailable(str(error)) from None

    def warm_up(self, prompt: Tensor, texts: int, max_new_tokens: int) -> None:
        """Compile nothing. See `Generator.warm_up`.

        Parameters
        ----------
        prompt : Tensor, shape (n, hidden size)
        texts : int
        max_new_tokens : int
        """

    def forget(self) -> None:
        """Keep nothing."""

    def _require_model(self, host: Host) -> None:
        with self._calls.answer(host, "GET", "/v1/models", timeout=PROBE_TIMEOUT) as response:
            listed = read_json(response.read())
        models = listed.get("data") if isinstance(listed, Mapping) else None
        if not any(isinstance(m, Mapping) and m.get("id") == self._name for m in models or ()):
            message = f"{host.name} does not serve {self._name}, this checkpoint's language model"
            raise Unanswered(message, passing=False)

    def _weigh(self, prompt: str, first: Sequence[int], host: Host) -> list[float]:
        request = self._request(prompt, Sampling(max_new_tokens=1, temperature=0.0))
        request["logprob_token_ids"] = list(first)
        with self._calls.answer(host, "POST", COMPLETIONS, json=request) as response:
            answer = read_json(response.read())
        try:
            told = answer["choices"][0]["logprobs"]["top_logprobs"][0]
            scores = [float(told[f"token_id:{token}"]) for token in first]
        except _NO_ANSWER:
            raise _misunderstood(host) from None
        weights: list[float] = torch.tensor(scores).softmax(dim=0).tolist()
        return weights

    def _text(
        self,
        prompt: str,
        seed: int,
        sampling: Sampling,
        on_token: Callable[[int], None] | None = None,
    ) -> GeneratedTokens:
        request = {**self._request(prompt, sampling), "seed": seed, "stream": True}
        return self._asked(partial(self._stream, request, sampling, on_token))

    def _asked(self, call: Callable[[Host], T]) -> T:
        return self._calls.patiently(lambda: self._calls.somewhere(call), lambda: None)

    def _request(self, prompt: str, sampling: Sampling) -> dict[str, Any]:
        how = completed(self._decoding, sampling)
        if how.repetition_penalty != 1:
            raise EngineError("vLLM applies no repetition penalty to a prompt of embeddings")
        return {
            "model": self._name,
            "prompt_embeds": prompt,
            "max_tokens": sampling.max_new_tokens,
            "temperature": how.temperature,
            "top_p": how.top_p,
            "top_k": how.top_k,
            # only what this checkpoint says ends a text
            "stop_token_ids": sorted(how.ends),
            "ignore_eos": True,
            "logprobs": 0,  # of the chosen tokens alone
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }

    def _stream(
        self,
        request: Mapping[str, Any],
        sampling: Sampling,
        on_token: Callable[[int], None] | None,
        host: Host,
    ) -> GeneratedTokens:
        text = Writing()
        try:
            with self._calls.answer(host, "POST", COMPLETIONS, json=request) as response:
                told = chunks(self._calls.in_time(host, lines(response.iter_bytes())))
                for token, logprob in _tokens(told, host):
                    text.add(token, logprob, self._decoding.ends, sampling)
                    if on_token is not None and text.finish_reason != "eos":
                        on_token(token)
                    if text.finish_reason is not None:
                        return text.done()  # which closes the connection: the server stops
            raise Unanswered(f"{host.name} ended its answer early", taken=True)
        except Unanswered as error:
            if text.ids and on_token is not None:  # they would be told again
                raise EngineUnavailable(str(error)) from None
            raise


_NO_ANSWER = (LookupError, TypeError, ValueError, AttributeError)


def _tokens(stream: Iterator[Any], host: Host) -> Iterator[tuple[int, float]]:
    """Read tokens and the logarithms of their probabilities from chunks of an answer."""
    for chunk in stream:
        if isinstance(chunk, Mapping) and "error" in chunk:
            raise Unanswered(f"{host.name} failed while it wrote", taken=True)
        try:
            choice = chunk["choices"][0]
            ids = list(map(int, choice["token_ids"]))
            logprobs = list(map(float, choice["logprobs"]["token_logprobs"])) if ids else []
            told = list(zip(ids, logprobs, strict=True))
        except _NO_ANSWER:
            raise _misunderstood(host) from None
        yield from told


def _misunderstood(host: Host) -> Unanswered:
    message = f"{host.name} answers what no vLLM server with prompt embeddings does"
    return Unanswered(message, passing=False, taken=True)


def _encoded(prompt: Tensor) -> str:
    file = io.BytesIO()
    torch.save(prompt.detach().cpu().clone(), file)
    return b64encode(file.getvalue()).decode()
