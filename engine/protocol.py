"""What an engine is to the rest of ctscribe: model input in, generation out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import EngineError
from dicom_io.preprocess import ModelInput, PreprocessSpec

FinishReason = Literal["eos", "length"]


@dataclass(frozen=True)
class ModelIdentity:
    """Which model wrote a text.

    Parameters
    ----------
    name, version : str
        As its checkpoint states them.
    digest : str
        SHA-256 of the checkpoint, hexadecimal: it changes with every weight and setting.
    demonstration : bool
        Whether the model was trained on synthetic images only.
    findings : tuple of str
        The findings that the model may write; empty where there is no closed list.
    """

    name: str
    version: str
    digest: str
    demonstration: bool
    findings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Generation:
    """One answer of a model.

    Parameters
    ----------
    text : str
        The answer; empty where the model abstained.
    tokens : tuple of str
        The pieces of `text`, in order; joined they are `text`.
    token_ids : tuple of int
        The generated tokens, without the one that ends the text.
    token_logprobs : tuple of float
        Natural logarithm of each token's probability when it was chosen.
    image_embedding : ndarray of float32, shape (width,)
        Mean over the tokens of the vision tower's last stage.
    identity : ModelIdentity
        Who wrote it.
    finish_reason : {"eos", "length"}
        Whether the model ended by itself or ran into the limit of new tokens.
    abstained : str or None
        Why the model wrote nothing: a clause that can follow "no findings were drafted: ".
    """

    text: str
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    image_embedding: NDArray[np.float32]
    identity: ModelIdentity
    finish_reason: FinishReason
    abstained: str | None = None


class ReportEngine(Protocol):
    """A model that drafts reports."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        ...

    @property
    def preprocess(self) -> PreprocessSpec:
        """How its input must be prepared."""
        ...

    def report(
        self, model_input: ModelInput, *, max_new_tokens: int = 256, seed: int | None = None
    ) -> Generation:
        """Draft the report of one volume.

        Parameters
        ----------
        model_input : ModelInput
            Prepared by this engine's `preprocess`.
        max_new_tokens : int
            Where to stop if the model does not end by itself.
        seed : int, optional
            None takes the likeliest token at every step; a number draws tokens at temperature 1,
            the same ones each time.

        Raises
        ------
        EngineError
            `model_input` was prepared by another recipe.
        PromptTooLong
            Image tokens, prompt and `max_new_tokens` exceed the model's context.
        OutOfDeviceMemory
            The device is full; a later call may succeed.
        """
        ...


def require_recipe(model_input: ModelInput, preprocess: PreprocessSpec) -> None:
    """Refuse an input that was not prepared as the checkpoint's training data were.

    Raises
    ------
    EngineError
        The recipes differ, or the pixels have another shape than the recipe says.
    """
    if model_input.spec != preprocess:
        raise EngineError(
            f"the model input was prepared by {model_input.spec}, this model needs {preprocess}"
        )
    if model_input.pixels.shape != (1, *preprocess.size):
        raise EngineError(
            f"the model input must be {(1, *preprocess.size)}, got {model_input.pixels.shape}"
        )
