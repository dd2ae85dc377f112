"""What an engine is to the rest of ctscribe: model input in, generations and answers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec

FinishReason = Literal["eos", "length", "repetition"]

Region = Literal["head", "neck", "chest", "abdomen", "pelvis", "spine", "extremities"]
"""A region of the body."""

Quantization = Literal["none", "int8", "nf4"]
"""How a language model's weights are kept; nf4 is a 4-bit type (`inference.quantization`)."""

OnToken = Callable[[str], None]
"""Told each token's piece of the text as soon as the model has written it."""


@dataclass(frozen=True)
class Sampling:
    """How the tokens of a text are chosen, and when it is cut off.

    What is None is as the checkpoint says (its generation_config.json), else the likeliest token.

    Parameters
    ----------
    max_new_tokens : int
        Where to stop if the model does not end by itself.
    temperature : float, optional
        0 takes the likeliest token at every step; above it, tokens are drawn from
        softmax(logits / temperature).
    top_p : float, optional
        Draw among the likeliest tokens whose probabilities reach this sum (Holtzman 2020).
    top_k : int, optional
        Draw among so many of the likeliest tokens (Fan 2018); 0 sets no limit.
    repetition_penalty : float, optional
        Makes tokens that the text has already less likely (Keskar 2019); 1 changes nothing.
    seed : int
        Where drawing starts. The same seed and input give the same text, alone or in a batch.
    stop_at_loop : bool
        Cut a text off that only repeats itself any more.

    Raises
    ------
    EngineError
        A value lies outside its range.
    """

    max_new_tokens: int = 256
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int = 0
    stop_at_loop: bool = True

    def __post_init__(self) -> None:
        infinite = float("inf")
        in_range = {
            "max_new_tokens": self.max_new_tokens >= 1,
            "temperature": self.temperature is None or 0 <= self.temperature < infinite,
            "top_p": self.top_p is None or 0 < self.top_p <= 1,
            "top_k": self.top_k is None or self.top_k >= 0,
            "repetition_penalty": self.repetition_penalty is None
            or 1 <= self.repetition_penalty < infinite,
            "seed": 0 <= self.seed < 2**63,
        }
        if wrong := [name for name, fits in in_range.items() if not fits]:
            raise EngineError(f"{wrong[0]} cannot be {getattr(self, wrong[0])}")


AS_TRAINED = Sampling()
"""As the checkpoint says."""
GREEDY = Sampling(temperature=0.0)
"""The likeliest token at every step, repetitions less likely where the checkpoint says so."""


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
    regions : tuple of Region
        The regions that its training images show; empty where it does not say.
    """

    name: str
    version: str
    digest: str
    demonstration: bool
    findings: tuple[str, ...]
    regions: tuple[Region, ...] = ()


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
        Natural logarithm of each token's probability where the model wrote it, before temperature,
        `top_p` and penalty.
    image_embedding : ndarray of float32, shape (width,)
        Mean over the tokens of the vision tower's last stage.
    identity : ModelIdentity
        Who wrote it.
    finish_reason : {"eos", "length", "repetition"}
        Whether the model ended by itself, ran into the limit of new tokens, or only repeated
        itself; then the repetitions are left out. Only "eos" is a complete text.
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

    @classmethod
    def withheld(cls, identity: ModelIdentity, reason: str) -> Generation:
        """Return the empty answer of a model that was not asked, for a reason."""
        return cls("", (), (), (), np.zeros(0, np.float32), identity, "eos", reason)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold, without loss; `from_dict` reads them back."""
        return {**_fields(self), "image_embedding": self.image_embedding.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Generation:
        """Read what `to_dict` gave."""
        said = dict(values["identity"])
        lists = {name: tuple(said.get(name, ())) for name in ("findings", "regions")}
        sequences = {
            name: tuple(values[name]) for name in ("tokens", "token_ids", "token_logprobs")
        }
        return cls(
            **{
                **values,
                **sequences,
                "image_embedding": np.array(values["image_embedding"], np.float32),
                "identity": ModelIdentity(**{**said, **lists}),
            }
        )


@dataclass(frozen=True)
class Choice:
    """One choice of a closed question.

    Parameters
    ----------
    letter, text : str
        "B" and what the question gave for it.
    probability : float
        That the model's answer begins with this letter rather than with another choice's: the
        probabilities of all choices sum to 1.
    """

    letter: str
    text: str
    probability: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model answers to a question.

    Parameters
    ----------
    generation : Generation
        What it wrote; for a closed question the model was trained to write "B. text".
    choices : tuple of Choice
        In the order of the question; empty for an open question, where the model abstained, and
        where a server tells no probabilities.
    """

    generation: Generation
    choices: tuple[Choice, ...] = ()

    @property
    def choice(self) -> Choice | None:
        """The likeliest choice, the first of equals."""
        return max(self.choices, key=lambda choice: choice.probability, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold, without loss; `from_dict` reads them back."""
        choices = [asdict(choice) for choice in self.choices]
        return {"generation": self.generation.to_dict(), "choices": choices}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answer:
        """Read what `to_dict` gave."""
        choices = tuple(Choice(**choice) for choice in values["choices"])
        return cls(Generation.from_dict(values["generation"]), choices)


@dataclass
class Compilation:
    """How often an engine compiled a step of decoding, and how often it could not."""

    graphs: int = 0
    fallbacks: int = 0


@runtime_checkable
class Compiles(Protocol):
    """An engine that compiles what it runs, which takes time before the first answer."""

    @property
    def compilation(self) -> Compilation:
        """What was compiled so far."""
        ...

    def warm_up(self, texts: int) -> None:
        """Compile what reports of up to so many studies together will need."""
        ...


@runtime_checkable
class Reached(Protocol):
    """An engine that may be away: it runs on another host, or its text is written there."""

    def ask_identity(self) -> ModelIdentity:
        """Ask, once, whether it can take work, and which model it is now.

        Raises
        ------
        EngineUnavailable
            It does not answer.
        """
        ...


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
        self,
        model_input: ModelInput,
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Generation:
        """Draft the report of one volume.

        Parameters
        ----------
        model_input : ModelInput
            Prepared by this engine's `preprocess`.
        sampling : Sampling
            How its tokens are chosen.
        on_token : callable, optional
            Told each piece as it is written. What it raises ends the call.

        Raises
        ------
        EngineError
            `model_input` was prepared in another way.
        PromptTooLong
            Image tokens, prompt and new tokens exceed the model's context.
        OutOfDeviceMemory
            The device is full; a later call may succeed.
        """
        ...

    def report_samples(
        self, model_input: ModelInput, count: int, sampling: Sampling
    ) -> tuple[Generation, ...]:
        """Draft one volume's report `count` times; image and prompt are read once.

        Sample i is what `report` gives for the seed `sampling.seed` + i. Raises as `report` does.
        """
        ...

    def report_batch(
        self, model_inputs: Sequence[ModelInput], sampling: Sampling = AS_TRAINED
    ) -> tuple[Generation, ...]:
        """Draft the reports of several volumes together.

        Each is what `report` gives for it alone. Raises as `report` does.
        """
        ...

    def ask(
        self,
        model_input: ModelInput,
        question: str,
        choices: Sequence[str] = (),
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Answer:
        """Answer a question about one volume.

        Parameters
        ----------
        model_input, sampling, on_token : ModelInput, Sampling, OnToken, optional
            As `report`.
        question : str
            In words, without the choices.
        choices : sequence of str
            What a closed question may be answered with, in the order of their letters; empty for
            an open question.

        Raises
        ------
        EngineError
            The model answers no questions, or the question or a choice is empty.
        PromptTooLong, OutOfDeviceMemory
            As `report`.
        """
        ...


def require_preprocessing(model_input: ModelInput, preprocess: PreprocessSpec) -> None:
    """Refuse an input that was not prepared as the checkpoint's training data were.

    Raises
    ------
    EngineError
        The preprocessing differs, or the pixels have another shape than it says or are no numbers.
    """
    if model_input.spec != preprocess:
        raise EngineError(
            f"the model input was prepared by {model_input.spec}, this model needs {preprocess}"
        )
    channels, *shape = model_input.pixels.shape
    if channels != 1 or not preprocess.fits(tuple(shape)):
        raise EngineError(
            f"the model input must be {(1, *preprocess.size)}, got {model_input.pixels.shape}"
        )
    if not np.isfinite(model_input.pixels).all():
        raise EngineError("the model input holds pixels that are no finite numbers")


def _fields(generation: Generation) -> dict[str, Any]:
    identity = asdict(generation.identity)
    if not identity["regions"]:  # clients of before know no such key
        del identity["regions"]
    return {**vars(generation), "identity": identity}
