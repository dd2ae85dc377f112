"""Checkpoints: a model with all that belongs to it, from any layout, saved in the native one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from pydantic import ValidationError
from tokenizers import Tokenizer
from torch import Tensor

from dicom_io.errors import CheckpointMismatch, EngineError
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.calibrated import own_calibration
from engine.checkpoints.decoding import GREEDILY, Decoding, read_decoding
from engine.checkpoints.description import (
    CONFIG,
    Description,
    Layout,
    LayoutName,
    ModelCard,
    Prompt,
    describe_published,
    read_config,
)
from engine.checkpoints.families import (
    FAMILIES,
    Network,
    Retriever,
    build,
    family_of,
    has_tied_head,
)
from engine.checkpoints.folder import checkpoint_folder, seal
from engine.checkpoints.layouts.ct2rep import CT2REP
from engine.checkpoints.layouts.ct_chat import CT_CHAT
from engine.checkpoints.layouts.dec_clip import DEC_CLIP
from engine.checkpoints.layouts.m3d_lamed import LAMED_LLAMA, LAMED_PHI3
from engine.checkpoints.layouts.merlin import MERLIN_PAIR, MERLIN_REPORT
from engine.checkpoints.layouts.native import (
    MODEL_TYPE,
    OUT_OF_DISTRIBUTION,
    describe_native,
    distribution_file,
    native_config,
    write_config,
    write_end_of_text,
)
from engine.checkpoints.layouts.nv_reason import NV_REASON
from engine.checkpoints.layouts.pmc_clip import PMC_CLIP
from engine.checkpoints.layouts.radfm import RADFM
from engine.checkpoints.layouts.vlm_qwen import QWEN2, VLM_QWEN
from engine.checkpoints.tokenizer_files import TOKENIZER, read_tokenizer
from engine.checkpoints.weights import HEAD, SHARD_BYTES, assemble, read_tensors, write_tensors
from engine.judgement.baselines import EVIDENCE, Baselines, read_baselines
from engine.judgement.calibration import Calibration
from engine.network.contrastive import ContrastiveConfig, ContrastivePair
from engine.network.families.merlin_pair import MerlinPairConfig
from engine.network.families.pmc_clip import PMCClipConfig
from engine.network.out_of_distribution import TrainingDistribution
from engine.protocol import ModelIdentity

__all__ = [
    "Checkpoint",
    "ModelCard",
    "Prompt",
    "describe",
    "load_checkpoint",
    "load_pair",
    "save_checkpoint",
    "save_pair",
]

PUBLISHED: dict[LayoutName, Layout] = {
    "vlm_qwen": VLM_QWEN,
    "qwen2": QWEN2,
    "dec_clip": DEC_CLIP,
    "lamed_llama": LAMED_LLAMA,
    "lamed_phi3": LAMED_PHI3,
    "merlin_report": MERLIN_REPORT,
    "merlin_pair": MERLIN_PAIR,
    "pmc_clip": PMC_CLIP,
    "nv_reason_ct": NV_REASON,
    "ct_chat": CT_CHAT,
    "ct2rep": CT2REP,
    "radfm": RADFM,
}
"""By `model_type` of config.json."""

NONSENSE = (AttributeError, LookupError, StrictDataclassError, TypeError, ValueError)
"""What values of config.json that make no sense raise."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model, ready to run, with all that belongs to it."""

    model: Network
    tokenizer: Tokenizer
    card: ModelCard
    prompt: Prompt
    preprocess: PreprocessSpec
    distribution: TrainingDistribution | None = None
    digest: str = ""
    decoding: Decoding = GREEDILY
    baselines: Baselines | None = None
    calibration: Calibration | None = None

    @property
    def identity(self) -> ModelIdentity:
        card = self.card
        return ModelIdentity(
            card.name, card.version, self.digest, card.demonstration, card.findings, card.regions
        )


def describe(name: str | Path) -> Description:
    """Read what a checkpoint says of itself; a native one is verified first.

    Parameters
    ----------
    name : str or Path
        Its folder, or its name on the hub (`engine.checkpoints.folder`).

    Raises
    ------
    EngineError
        There is no checkpoint, or it cannot be downloaded.
    CheckpointMismatch
        It is damaged, or of no layout that this version reads.
    """
    folder = checkpoint_folder(name)
    if not (folder / CONFIG).is_file():
        raise EngineError(f"no checkpoint at {folder}: it holds no {CONFIG}")
    try:
        found = _described(folder, read_config(folder).get("model_type"))
    except NONSENSE as error:
        raise CheckpointMismatch(
            f"{folder}/{CONFIG} cannot be understood: {_reason(error)}"
        ) from error
    if found.preprocess.size != found.network.vision.input_size:
        raise CheckpointMismatch(
            f"{folder}/{CONFIG}: inputs are prepared to {found.preprocess.size}, the vision tower "
            f"reads {found.network.vision.input_size}"
        )
    if found.layout != "native" and folder != Path(name):
        repo, _, commit = str(name).partition("@")
        return replace(found, card=replace(found.card, name=repo, version=commit))
    return found


def _described(folder: Path, model_type: object) -> Description:
    if model_type == MODEL_TYPE:
        return describe_native(folder)
    for layout, own in PUBLISHED.items():
        if layout == model_type:
            return describe_published(folder, layout, own)
    raise CheckpointMismatch(
        f"{folder}/{CONFIG} has model_type {model_type!r}; "
        f"this version reads {', '.join([MODEL_TYPE, *PUBLISHED])}"
    )


def _reason(error: Exception) -> str:
    """In one line: pydantic's own message has several, and a link."""
    if not isinstance(error, ValidationError):
        return repr(error)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


def load_checkpoint(
    name: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load a checkpoint of any layout.

    Parameters
    ----------
    name : str or Path
        The checkpoint's folder, or its name on the hub.
    device, dtype
        Where the model will run, and in which type. The vision tower stays in float32, so that
        the image embedding and the decision to abstain do not depend on a setting.

    Raises
    ------
    EngineError
        There is no checkpoint, it cannot be downloaded, or it holds no model that writes.
    CheckpointMismatch
        A file is missing, damaged or changed, or a tensor is missing, unexpected or of another
        shape than the configured model's.
    """
    return load_described(describe(name), device=device, dtype=dtype)


def load_described(
    found: Description, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load a checkpoint that has been described; see `load_checkpoint`."""
    if found.prompt is None:
        raise EngineError(f"{found.folder} holds a contrastive pair, which writes no report")
    distribution = None
    if path := distribution_file(found.folder):
        distribution = TrainingDistribution.from_tensors(read_tensors([path]))
    network: Network = load_network(found, device=device, dtype=dtype)
    tokenizer = read_tokenizer(found.folder)
    require_tokenizer(found, tokenizer)
    return Checkpoint(
        model=network,
        tokenizer=tokenizer,
        card=found.card,
        prompt=found.prompt,
        preprocess=found.preprocess,
        distribution=distribution,
        digest=found.digest,
        decoding=read_decoding(found.folder),
        baselines=read_baselines(found.folder),
        calibration=own_calibration(found),
    )


def require_tokenizer(found: Description, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that contradicts the model.

    Raises
    ------
    CheckpointMismatch
        It has more tokens than the language model, or lacks one that the prompt names.
    """
    last = max(tokenizer.get_vocab().values(), default=-1)
    size = getattr(found.network, "tokens", found.network.llm.vocab_size)
    if last >= size:
        raise CheckpointMismatch(
            f"the tokenizer has a token {last}; the language model has {size} tokens"
        )
    for token in (found.prompt.image_token, found.prompt.eos_token) if found.prompt else ():
        if tokenizer.token_to_id(token) is None:
            raise CheckpointMismatch(
                f"the tokenizer has no token {token!r}, which the prompt names"
            )


def load_network(
    found: Description, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Any:
    """Build the network of a checkpoint and put its weights in; see `load_checkpoint`."""
    exact = FAMILIES[family_of(found.network)].exact
    tied = has_tied_head(found.network)
    return assemble(build(found.network), found.tensors(), device, dtype, exact, tied=tied)


def load_pair(name: str | Path, *, device: torch.device | str = "cpu") -> ContrastivePair:
    """Load a contrastive pair, native or published (`dec_clip`), in float32.

    Raises
    ------
    EngineError
        There is no checkpoint, it cannot be downloaded, or it holds no pair.
    CheckpointMismatch
        See `load_checkpoint`.
    """
    found = describe(name)
    if not isinstance(found.network, ContrastiveConfig):
        raise EngineError(f"{found.folder} holds no contrastive pair")
    pair: ContrastivePair = load_network(found, device=device)
    published = found.layout == "dec_clip" or "published" in found.card.provenance
    if found.network.loss == "clip" and published:
        # the authors' code multiplies by it, without the exponential of `clip_loss`
        pair.logit_scale.data = pair.logit_scale.data.log()
    return pair


def load_retriever(name: str | Path, *, device: torch.device | str = "cpu") -> Retriever:
    """Load what finds texts for images, in float32: a contrastive pair of any kind.

    Raises
    ------
    EngineError, CheckpointMismatch
        See `load_pair`.
    """
    found = describe(name)
    if not isinstance(found.network, PMCClipConfig | MerlinPairConfig):
        return load_pair(name, device=device)
    retriever: Retriever = load_network(found, device=device)
    return retriever


def save_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    shard_bytes: int = SHARD_BYTES,
) -> str:
    """Write a checkpoint in the native layout and return its digest.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its `digest` is not looked at.
    folder : Path
        Made if it is missing.
    dtype : torch.dtype, optional
        Of the parameters; None leaves each as it is. Buffers keep theirs: variances of BatchNorm
        overflow in float16.
    shard_bytes : int
        Weights that take more than this are split into several files.

    Raises
    ------
    CheckpointMismatch
        A parameter does not fit `dtype`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(_tensors_to_store(checkpoint.model, dtype), folder, shard_bytes=shard_bytes)
    checkpoint.tokenizer.save(str(folder / TOKENIZER))
    eos = checkpoint.prompt.eos_token
    write_end_of_text(folder, eos, checkpoint.tokenizer.token_to_id(eos), checkpoint.decoding)
    if checkpoint.distribution is not None:
        stem = Path(OUT_OF_DISTRIBUTION).stem
        write_tensors(checkpoint.distribution.to_tensors(), folder, stem=stem)
    if checkpoint.baselines is not None:
        checkpoint.baselines.save(folder / EVIDENCE)
    # a calibration stays with the weights that it was fitted for
    config = native_config(
        checkpoint.model.config, checkpoint.card, checkpoint.prompt, checkpoint.preprocess
    )
    said = dtype or next(checkpoint.model.parameters()).dtype
    write_config(folder, config, str(said).removeprefix("torch."))
    return seal(folder)


def save_pair(
    pair: ContrastivePair,
    tokenizer: Tokenizer,
    card: ModelCard,
    preprocess: PreprocessSpec,
    folder: Path,
) -> str:
    """Write a contrastive pair in the native layout, in float32, and return its digest.

    Parameters
    ----------
    pair : ContrastivePair
    tokenizer : Tokenizer
        Of its text encoder.
    card : ModelCard
    preprocess : PreprocessSpec
    folder : Path
        Made if it is missing.

    Raises
    ------
    CheckpointMismatch
        A parameter is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(_tensors_to_store(pair, torch.float32), folder)
    tokenizer.save(str(folder / TOKENIZER))
    write_config(folder, native_config(pair.config, card, None, preprocess), "float32")
    return seal(folder)


def _tensors_to_store(
    model: Network | ContrastivePair, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {}
    tied = has_tied_head(model.config)
    for name, tensor in model.state_dict().items():
        if tied and name == HEAD:
            continue
        wanted = dtype if dtype is not None and name in parameters else tensor.dtype
        stored = tensor.detach().cpu().to(wanted)
        if not stored.isfinite().all():
            raise CheckpointMismatch(f"{name} holds values that {stored.dtype} cannot store")
        tensors[name] = stored
    return tensors
