"""What travels between an engine's server and its clients.

A request is a safetensors file, compressed with zstd (RFC 8878). Its tensors are `pixels`
(float32, (1, D, H, W)) and `affine_lps` (float64, (4, 4)); its metadata says under "request", in
JSON, how the pixels were prepared and what is wanted. The answer is JSON. Nothing else of a study
travels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Self, TypeVar

import numpy as np
import zstandard
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dicom_io import errors
from dicom_io.errors import CtscribeError, EngineError, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.protocol import AS_TRAINED, Generation, ModelIdentity, Sampling

MEDIA_TYPE = "application/x-safetensors"
ENCODING = "zstd"
LINES = "application/x-ndjson"
BEAT = "X-Beat-Seconds"
"""Header of a request: how often the server says that it works on it, by an empty line. An error
that it tells later has the status of a success."""
"""Asked for in `Accept`: one JSON object a line, each piece of the text as it is written."""

LONGEST_REPORT = 4096
"""Tokens: what is longer was cut off at a limit, and is no report that anybody reads."""
MOST_SENTENCES = 256
LONGEST_LOOK_S = 60.0
"""The longest that a server looks for what it can tell of the sentences of one report."""

# Higher levels cost more time than a gigabit line saves (python -m bench.serving)
_LEVEL = 1
_HEADER_BYTES = 2**17
_RAISED = (
    errors.CheckpointMismatch,
    errors.EngineError,
    errors.EngineFault,
    errors.EngineUnavailable,
    errors.OutOfDeviceMemory,
    errors.PromptTooLong,
)


@dataclass(frozen=True)
class ReportTask:
    """One report is wanted."""

    sampling: Sampling = AS_TRAINED


@dataclass(frozen=True)
class SamplesTask:
    """Several reports of the same volume are wanted."""

    sampling: Sampling
    count: Annotated[int, Field(ge=1, le=64)]


@dataclass(frozen=True)
class QuestionTask:
    """A question about the volume is to be answered."""

    sampling: Sampling
    question: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class SentencesTask:
    """Something is asked of sentences of the volume's report.

    Parameters
    ----------
    tokens, token_ids : tuple
        Of the whole report, as its `Generation` has them.
    spans : tuple of (int, int)
        Start and end of each sentence in the text.
    within_s : float
        How long to look, waiting included.

    Raises
    ------
    EngineError
        Tokens and their numbers are not equally many, or a span lies outside the text.
    """

    tokens: Annotated[tuple[str, ...], Field(max_length=LONGEST_REPORT)]
    token_ids: tuple[int, ...]
    spans: Annotated[tuple[tuple[int, int], ...], Field(max_length=MOST_SENTENCES)]
    within_s: Annotated[float, Field(ge=0, le=LONGEST_LOOK_S)]

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.token_ids):
            raise EngineError("the request's tokens and token_ids are not equally many")
        size = sum(map(len, self.tokens))
        if not all(0 <= start < end <= size for start, end in self.spans):
            raise EngineError("the request's spans do not lie in its text")

    @classmethod
    def of(cls, generation: Generation, spans: Sequence[tuple[int, int]], within_s: float) -> Self:
        """Ask it of sentences of a report; see `Explains.explain` and `Assesses.assess`."""
        within_s = min(max(within_s, 0.0), LONGEST_LOOK_S)
        return cls(generation.tokens, generation.token_ids, tuple(spans), within_s)

    def report(self, identity: ModelIdentity) -> Generation:
        """Return the report, without what the model saw and thought."""
        unknown = (float("nan"),) * len(self.tokens)
        seen = np.zeros(0, np.float32)
        text = "".join(self.tokens)
        return Generation(text, self.tokens, self.token_ids, unknown, seen, identity, "eos")


@dataclass(frozen=True)
class EvidenceTask(SentencesTask):
    """It is asked where in the volume they come from."""


@dataclass(frozen=True)
class ConfidenceTask(SentencesTask):
    """It is asked how sure the model is of them."""


AnyTask = ReportTask | SamplesTask | QuestionTask | EvidenceTask | ConfidenceTask
Task = TypeVar("Task", ReportTask, SamplesTask, QuestionTask, EvidenceTask, ConfidenceTask)


@dataclass(frozen=True)
class ServedModel:
    """What a server says of its model, and what of its sentences it can tell."""

    identity: ModelIdentity
    preprocess: PreprocessSpec
    can_explain: bool = False
    can_assess: bool = False


def pack(model_input: ModelInput, task: AnyTask) -> bytes:
    """Return the request that asks for `task`; the pixels arrive bit for bit."""
    wanted = asdict(task)
    if "sampling" in wanted:
        # What is not asked for is not said: a server of before knows fewer keys
        wanted["sampling"] = {k: v for k, v in wanted["sampling"].items() if v is not None}
    request = {"spec": model_input.spec.to_dict(), "task": wanted}
    tensors: dict[str, NDArray[Any]] = {
        "pixels": np.ascontiguousarray(model_input.pixels),
        "affine_lps": np.ascontiguousarray(model_input.affine_lps),
    }
    return zstandard.compress(save(tensors, {"request": json.dumps(request)}), _LEVEL)


def unpack(body: bytes, task: type[Task]) -> tuple[ModelInput, Task]:
    """Read what `pack` gave.

    Raises
    ------
    EngineError
        It is no such request; the message says what is wrong with it.
    """
    content = _decompress(body)
    try:
        tensors = load(content)
        pixels, affine = tensors["pixels"], tensors["affine_lps"]
        request = json.loads(_metadata(content)["request"])
        spec, wanted = request["spec"], request["task"]
    except SafetensorError as error:
        raise EngineError(f"the request is no safetensors file: {error}") from None
    except KeyError as error:
        raise EngineError(f"the request holds no {error.args[0]}") from None
    except (ValueError, TypeError, RecursionError):
        raise EngineError('the metadata "request" is no JSON object of spec and task') from None
    if (pixels.dtype, affine.dtype, affine.shape) != (np.float32, np.float64, (4, 4)):
        raise EngineError("pixels must be float32, and affine_lps float64 of shape (4, 4)")
    if not np.isfinite(affine).all():
        raise EngineError("affine_lps holds values that are no finite numbers")
    return ModelInput(pixels, _read(spec, PreprocessSpec, "spec"), affine, ()), _read_task(
        wanted, task
    )


def unpacked_size(body: bytes) -> int:
    """Return how many bytes a request claims to hold, without decompressing it.

    Raises
    ------
    EngineError
        It is no zstd frame, or one that does not say.
    """
    try:
        size = zstandard.frame_content_size(body)
    except zstandard.ZstdError:
        size = -1
    if size < 0:
        raise EngineError("the request is no zstd frame that states its size")
    return int(size)


def largest_request(preprocess: PreprocessSpec) -> int:
    """Return how many bytes a request for a model may hold, decompressed."""
    return 4 * int(np.prod(preprocess.size)) + _HEADER_BYTES


def pack_model(model: ServedModel) -> dict[str, Any]:
    """Return plain values for JSON; `unpack_model` reads them back."""
    return asdict(model)


def unpack_model(values: Any) -> ServedModel:
    """Read what `pack_model` gave.

    Raises
    ------
    EngineUnavailable
        Whatever answered is no engine of ours.
    """
    try:
        return TypeAdapter(ServedModel).validate_python(values)
    except ValidationError:
        raise EngineUnavailable("what answers is no ctscribe engine") from None


def pack_error(error: CtscribeError) -> dict[str, str]:
    """Return plain values for JSON; `unpack_error` reads them back."""
    return {"error": type(error).__name__, "message": str(error)}


def unpack_error(values: Any) -> EngineError | None:
    """Return the error that an engine's server told; None if somebody else answered."""
    if not isinstance(values, Mapping):
        return None
    kinds = {kind.__name__: kind for kind in _RAISED}
    kind = kinds.get(str(values.get("error")))
    return None if kind is None else kind(str(values.get("message")))


def _decompress(body: bytes) -> bytes:
    try:
        decompressor = zstandard.ZstdDecompressor()
        return decompressor.decompress(body, unpacked_size(body), allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise EngineError(f"the request cannot be decompressed: {error}") from None


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the metadata of a safetensors file, which begins with the length of its header."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {})  # type: ignore[no-any-return]


T = TypeVar("T")


def _read_task(values: Any, task: type[Task]) -> Task:
    if isinstance(values, Mapping) and "sampling" in values:
        values = {**values, "sampling": _read(values["sampling"], Sampling, "sampling")}
    return _read(values, task, "task")


def _read(values: Any, kind: type[T], name: str) -> T:
    """Make a dataclass of plain values; an unknown key would be a wish that is not heard."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if isinstance(values, Mapping) and (unknown := set(values) - known):
        raise EngineError(f"the request's {name} has unknown keys: {', '.join(sorted(unknown))}")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join([name, *map(str, problem["loc"])])
        raise EngineError(f"the request's {where}: {problem['msg']}") from None
