"""Checkpoints in the published layouts, with a small language model in place of theirs."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import CheckpointMismatch
from engine.checkpoint import load_checkpoint
from engine.contrastive import ContrastivePair
from engine.dcformer import VARIANTS
from engine.local import LocalEngine
from engine.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.projector import PUBLISHED, ProjectorConfig
from engine.published import QWEN_EOS, load_dec_clip
from tests.engine.conftest import tiny_tokenizer
from tests.engine.golden import FIGURES

CONFIG = FIGURES["vlm"]["config"]


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    projector = ProjectorConfig(PUBLISHED.low, PUBLISHED.high, width=64)
    llm = Qwen2Config(**{k: v for k, v in CONFIG.items() if k in Qwen2Config().to_dict()})
    return Med3DVLM(Med3DVLMConfig(VARIANTS["small"], projector, llm)).state_dict()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Configuration and tokenizer; the weights are each test's own."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens([QWEN_EOS])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def write_shards(weights: dict[str, Tensor], folder: Path) -> None:
    names = sorted(weights)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / shard)
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def assert_same_state(model: nn.Module, weights: dict[str, Tensor]) -> None:
    assert all(torch.equal(t, weights[name]) for name, t in model.state_dict().items())


def test_one_safetensors_file_loads(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors")
    checkpoint = load_checkpoint(folder)
    assert_same_state(checkpoint.model, weights)
    assert checkpoint.model.config.splice == "published"
    assert checkpoint.preprocess.size == (128, 256, 256)
    assert not checkpoint.identity.demonstration
    assert LocalEngine(checkpoint).identity.digest == checkpoint.digest


def test_sharded_safetensors_load(weights: dict[str, Tensor], folder: Path) -> None:
    write_shards(weights, folder)
    assert_same_state(load_checkpoint(folder).model, weights)


def test_torch_weights_load(weights: dict[str, Tensor], folder: Path) -> None:
    torch.save(weights, folder / "pytorch_model.bin")
    assert_same_state(load_checkpoint(folder).model, weights)


def test_torch_weights_that_carry_code_do_not_run_it(folder: Path) -> None:
    torch.save({"lm_head.weight": Path("anything")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointMismatch, match=r"pytorch_model\.bin"):
        load_checkpoint(folder)


def test_a_missing_shard_is_named(weights: dict[str, Tensor], folder: Path) -> None:
    write_shards(weights, folder)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointMismatch, match=r"lacks model-2\.safetensors"):
        load_checkpoint(folder)


def test_a_truncated_file_is_refused(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-8])
    with pytest.raises(CheckpointMismatch, match=r"model\.safetensors"):
        load_checkpoint(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=r"holds no model\.safetensors"):
        load_checkpoint(folder)


def test_a_missing_tensor_is_named(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(
        {n: t for n, t in weights.items() if n != "lm_head.weight"}, folder / "model.safetensors"
    )
    with pytest.raises(CheckpointMismatch, match=r"missing: lm_head\.weight"):
        load_checkpoint(folder)


def test_the_contrastive_pair_loads(tmp_path: Path) -> None:
    text = DistilBertConfig(**FIGURES["clip"]["distilbert_config"])
    state = ContrastivePair(VARIANTS["small"], text).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "dec_clip", "n_heads": 4}')
    pair = load_dec_clip(tmp_path)
    assert_same_state(pair, state)
    assert pair.language_encoder.config.n_heads == 4
    assert pair.encode_text(torch.tensor([[1, 2]]), torch.ones(1, 2)).shape == (1, 768)


def test_another_kind_of_model_is_no_contrastive_pair(folder: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="no model_type dec_clip"):
        load_dec_clip(folder)
