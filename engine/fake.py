"""An engine without a model: for tests and for trying the service's plumbing."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from string import ascii_uppercase

import numpy as np

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.inference.question import choice_answer, question_prompt
from engine.protocol import (
    AS_TRAINED,
    Answer,
    Choice,
    Generation,
    ModelIdentity,
    OnToken,
    Region,
    Sampling,
    require_preprocessing,
)

SMALL = PreprocessSpec(size=(16, 32, 32))
"""Preprocessing that costs little."""


class FakeEngine:
    """Answer at once, with a text that depends on nothing but the input.

    Parameters
    ----------
    text : str, optional
        What to answer; by default sentences that name the input's digest.
    abstained : str, optional
        Abstain, for this reason.
    delay_s : float
        How long to take.
    failure : Exception, optional
        What to raise in place of an answer.
    preprocess : PreprocessSpec
        The preprocessing to ask for.
    regions : tuple of Region
        What it claims to be trained on.
    """

    def __init__(
        self,
        text: str | None = None,
        *,
        abstained: str | None = None,
        delay_s: float = 0.0,
        failure: Exception | None = None,
        preprocess: PreprocessSpec = SMALL,
        regions: tuple[Region, ...] = (),
    ):
        self._text = text
        self._abstained = abstained
        self._delay_s = delay_s
        self._failure = failure
        self._preprocess = preprocess
        digest = sha256(b"fake").hexdigest()
        self._identity = ModelIdentity("fake", "1", digest, True, (), regions)

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def preprocess(self) -> PreprocessSpec:
        return self._preprocess

    def report(
        self,
        model_input: ModelInput,
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Generation:
        """Answer as `ReportEngine.report` does; a token is a word."""
        digest = self._digest(model_input, sampling)
        text = self._text or _sentences(digest.hex()[:8])
        return self._generation(text, digest, sampling, on_token)

    def report_samples(
        self, model_input: ModelInput, count: int, sampling: Sampling
    ) -> tuple[Generation, ...]:
        """Answer as `ReportEngine.report_samples` does."""
        seeds = range(sampling.seed, sampling.seed + count)
        return tuple(self.report(model_input, replace(sampling, seed=seed)) for seed in seeds)

    def report_batch(
        self, model_inputs: Sequence[ModelInput], sampling: Sampling = AS_TRAINED
    ) -> tuple[Generation, ...]:
        """Answer as `ReportEngine.report_batch` does."""
        return tuple(self.report(model_input, sampling) for model_input in model_inputs)

    def ask(
        self,
        model_input: ModelInput,
        question: str,
        choices: Sequence[str] = (),
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Answer:
        """Answer as `ReportEngine.ask` does: `text`, or the first choice."""
        question_prompt(question, choices)
        digest = self._digest(model_input, sampling)
        text = choice_answer("A", choices[0]) if choices else self._text or "I am no model."
        generation = self._generation(text, digest, sampling, on_token)
        if self._abstained:
            return Answer(generation)
        # each letter is half as likely as the one before it
        weights = [0.5**i for i in range(len(choices))]
        shares = [weight / sum(weights) for weight in weights]
        return Answer(generation, tuple(map(Choice, ascii_uppercase, choices, shares)))

    def _digest(self, model_input: ModelInput, sampling: Sampling) -> bytes:
        require_preprocessing(model_input, self._preprocess)
        time.sleep(self._delay_s)
        if self._failure is not None:
            raise self._failure
        seed = sampling.seed if sampling.temperature else None
        return sha256(model_input.pixels.tobytes() + str(seed).encode()).digest()

    def _generation(
        self, text: str, digest: bytes, sampling: Sampling, on_token: OnToken | None
    ) -> Generation:
        words = [] if self._abstained else re.findall(r"\S+\s*", text)
        tokens = words[: sampling.max_new_tokens]
        if on_token is not None:
            for token in tokens:
                on_token(token)
        return Generation(
            text="".join(tokens),
            tokens=tuple(tokens),
            token_ids=tuple(_token_id(token) for token in tokens),
            token_logprobs=(-0.1,) * len(tokens),
            image_embedding=np.array([byte / 255 for byte in digest], np.float32),
            identity=self._identity,
            finish_reason="eos" if len(tokens) == len(words) else "length",
            abstained=self._abstained,
        )


def _sentences(digest: str) -> str:
    return (
        "Technique: axial, portal venous phase. "
        f"Findings: Input {digest} was received. No finding was looked for. "
        "Impression: Answer of the fake engine."
    )


def _token_id(token: str) -> int:
    return int.from_bytes(sha256(token.encode()).digest()[:2])
