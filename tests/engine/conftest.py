"""A model of a few thousand weights, with all its parts."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.qwen2 import Qwen2Config

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.checkpoints.checkpoint import Checkpoint, ModelCard, Prompt, save_checkpoint
from engine.checkpoints.llm_export import export_llm
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.network.projector import ProjectorConfig, StreamConfig
from engine.network.towers.dcformer import DCFormerConfig
from engine.serving.vllm_server import VllmServer
from tests.services import require

VLLM_PYTHON = Path(
    os.environ.get("CTSCRIBE_VLLM_PYTHON", Path(__file__).parents[2] / ".venv-vllm/bin/python")
)
"""Of the environment that `make vllm` makes."""

SIZE = (64, 64, 128)
WORDS = [
    "<im_patch>",
    "<eos>",
    "<unk>",
    "▁describe",
    "▁ascites",
    "▁no",
    "▁the",
    "▁spleen",
    "▁liver",
    ".",
    "▁Choices",
    ":",
    "▁A",
    "▁B",
    "▁C",
    "?",
]
VISION = DCFormerConfig(
    (1, 1, 1, 1), (4, 4, 8, 8, 16), stem="patch", layer_scale=0.1, input_size=SIZE
)
PROJECTOR = ProjectorConfig(
    StreamConfig(VISION.tokens(3), 8, (4, 4)), StreamConfig(VISION.tokens(4), 16, (4, 4)), 16
)


def tiny_llm(context: int = 64) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
    )


def tiny_tokenizer() -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<im_patch>", "<eos>", "<unk>"])
    return tokenizer


@pytest.fixture
def checkpoint() -> Checkpoint:
    return tiny_checkpoint(tiny_llm())


def tiny_checkpoint(llm: Qwen2Config) -> Checkpoint:
    torch.manual_seed(0)
    model = Med3DVLM(Med3DVLMConfig(VISION, replace(PROJECTOR, width=llm.hidden_size), llm))
    model.lm_head.weight.data.mul_(20)  # decided answers, not ties
    return Checkpoint(
        model=model.eval(),
        tokenizer=tiny_tokenizer(),
        card=ModelCard("tiny", "1", True, ("ascites",), {"seed": 0}),
        prompt=Prompt("describe the liver", answers_questions=True),
        preprocess=PreprocessSpec(size=SIZE),
    )


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A native checkpoint's folder."""
    save_checkpoint(checkpoint, tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture(scope="module")
def written_by_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, VllmServer]]:
    """A checkpoint, and the vLLM server that runs its language model: one for a file's tests."""
    require(VLLM_PYTHON.is_file(), f"{VLLM_PYTHON} (`make vllm`)")
    llm = tiny_llm()
    llm.hidden_size = 64  # the narrowest heads that vLLM's attention knows on a CPU have 32
    folder = tmp_path_factory.mktemp("vllm")
    save_checkpoint(tiny_checkpoint(llm), folder / "tiny")
    export_llm(folder / "tiny", folder / "llm")
    options = ("--dtype=float32", "--enforce-eager", "--max-num-seqs=16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; by default it takes what it finds
        with VllmServer(folder / "llm", VLLM_PYTHON, options) as server:
            yield folder / "tiny", server


def input_for(spec: PreprocessSpec, seed: int = 1) -> ModelInput:
    pixels = np.random.default_rng(seed).random((1, *spec.size), dtype=np.float32)
    return ModelInput(pixels, spec, np.eye(4), ())
