"""An engine without a model: for tests and for trying the service's plumbing."""

from __future__ import annotations

import re
import time
from hashlib import sha256

import numpy as np

from dicom_io.preprocess import ModelInput, PreprocessSpec
from engine.protocol import Generation, ModelIdentity, require_recipe

SMALL = PreprocessSpec(size=(16, 32, 32))
"""A recipe that costs little."""


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
        The recipe to ask for.
    """

    def __init__(
        self,
        text: str | None = None,
        *,
        abstained: str | None = None,
        delay_s: float = 0.0,
        failure: Exception | None = None,
        preprocess: PreprocessSpec = SMALL,
    ):
        self._text = text
        self._abstained = abstained
        self._delay_s = delay_s
        self._failure = failure
        self._preprocess = preprocess
        self._identity = ModelIdentity("fake", "1", sha256(b"fake").hexdigest(), True, ())

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def preprocess(self) -> PreprocessSpec:
        return self._preprocess

    def report(
        self, model_input: ModelInput, *, max_new_tokens: int = 256, seed: int | None = None
    ) -> Generation:
        """Answer as `ReportEngine.report` does; a token is a word."""
        require_recipe(model_input, self._preprocess)
        time.sleep(self._delay_s)
        if self._failure is not None:
            raise self._failure
        digest = sha256(model_input.pixels.tobytes() + str(seed).encode())
        text = "" if self._abstained else self._text or _sentences(digest.hexdigest()[:8])
        words = re.findall(r"\S+\s*", text)
        tokens = words[:max_new_tokens]
        return Generation(
            text="".join(tokens),
            tokens=tuple(tokens),
            token_ids=tuple(_token_id(token) for token in tokens),
            token_logprobs=(-0.1,) * len(tokens),
            image_embedding=np.array([byte / 255 for byte in digest.digest()], np.float32),
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
