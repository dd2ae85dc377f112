"""The engine that runs a checkpoint in this process, on the GPU or the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from dicom_io.errors import CheckpointMismatch, EngineError, OutOfDeviceMemory, PromptTooLong
from dicom_io.preprocess import ModelInput, PreprocessSpec
from engine.checkpoint import Checkpoint, load_checkpoint
from engine.generation import GeneratedTokens, generate, pieces
from engine.novelty import image_features
from engine.protocol import Generation, ModelIdentity, require_recipe
from engine.published import is_published, load_vlm_qwen

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class LocalEngine:
    """Draft reports with a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its model stands on the device where it will run.
    """

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        self._model = checkpoint.model
        self._question = tuple(checkpoint.tokenizer.encode(checkpoint.prompt.report).ids)
        self._image_token = self._token_id(checkpoint.prompt.image_token)
        self._eos = self._token_id(checkpoint.prompt.eos_token)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", dtype: str = "auto") -> LocalEngine:
        """Load a checkpoint's folder, native or published; see `engine.load_engine`."""
        where = choose_device(device)
        precision = choose_dtype(dtype, where)
        load = load_vlm_qwen if is_published(folder) else load_checkpoint
        with _device_memory(where):
            return cls(load(folder, device=where, dtype=precision))

    @property
    def identity(self) -> ModelIdentity:
        return self._checkpoint.identity

    @property
    def preprocess(self) -> PreprocessSpec:
        return self._checkpoint.preprocess

    def report(
        self, model_input: ModelInput, *, max_new_tokens: int = 256, seed: int | None = None
    ) -> Generation:
        """Draft the report of one volume; see `ReportEngine.report`."""
        require_recipe(model_input, self.preprocess)
        self._require_context(max_new_tokens)
        with _device_memory(self._weights.device), torch.inference_mode():
            volume = torch.from_numpy(model_input.pixels)[None].to(self._weights.device)
            # TF32 would make the embedding, and so the abstention, depend on the device
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                hidden_states = self._model.encode_image(volume)
            reason = self._reason_to_abstain(volume, hidden_states)
            if reason is None:
                prompt = self._prompt(hidden_states)
                tokens = generate(
                    self._model, prompt, eos_id=self._eos, max_new_tokens=max_new_tokens, seed=seed
                )
            else:
                tokens = GeneratedTokens((), (), "eos")
            return self._generation(tokens, hidden_states[-1], reason)

    @property
    def _weights(self) -> Tensor:
        weights: Tensor = self._model.lm_head.weight
        return weights

    def _token_id(self, token: str) -> int:
        found = self._checkpoint.tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointMismatch(
                f"the tokenizer has no token {token!r}, which the prompt names"
            )
        return int(found)

    def _require_context(self, max_new_tokens: int) -> None:
        image = self._model.config.projector.image_tokens
        asked = image + len(self._question) + max_new_tokens
        limit = self._model.config.llm.max_position_embeddings
        if asked > limit:
            raise PromptTooLong(
                f"{image} image tokens, {len(self._question)} of the question and {max_new_tokens} "
                f"new ones are {asked}; the model's context holds {limit}"
            )

    def _reason_to_abstain(self, volume: Tensor, hidden_states: list[Tensor]) -> str | None:
        distribution = self._checkpoint.distribution
        if distribution is None:
            return None
        return distribution.reason_to_abstain(image_features(volume, hidden_states))

    def _prompt(self, hidden_states: list[Tensor]) -> Tensor:
        low, high = (hidden.to(self._weights.dtype) for hidden in hidden_states[3:])
        image_tokens = self._model.project(low, high)
        ids = (self._image_token,) * image_tokens.shape[1] + self._question
        return self._model.embed_prompt(
            torch.tensor([ids], device=image_tokens.device), image_tokens
        )

    def _generation(
        self, tokens: GeneratedTokens, last_stage: Tensor, reason: str | None
    ) -> Generation:
        text_pieces = pieces(self._checkpoint.tokenizer, tokens.ids)
        return Generation(
            text="".join(text_pieces),
            tokens=text_pieces,
            token_ids=tokens.ids,
            token_logprobs=tokens.logprobs,
            image_embedding=last_stage[0].float().mean(dim=0).cpu().numpy(),
            identity=self.identity,
            finish_reason=tokens.finish_reason,
            abstained=reason,
        )


def choose_device(name: str) -> torch.device:
    """Return the device of a setting; "auto" takes CUDA where there is one.

    Raises
    ------
    EngineError
        torch knows no such device, or this machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"torch knows no device {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"device {name!r} was asked for, and torch sees no such GPU here")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a setting; "auto" is bfloat16 on CUDA and float32 elsewhere.

    Raises
    ------
    EngineError
        It is no type that models run in.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise EngineError(f"dtype must be auto or one of {', '.join(DTYPES)}, got {name!r}")
    return DTYPES[name]


@contextmanager
def _device_memory(device: torch.device) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        on_cpu = "DefaultCPUAllocator" in str(error)  # a plain RuntimeError there
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        raise OutOfDeviceMemory(f"{device} has not enough free memory for this model") from error
