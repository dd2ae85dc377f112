"""A checkpoint that transformers' own `save_pretrained` writes, for a class like the authors'."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from engine.checkpoints.checkpoint import load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.inspection import inspect_checkpoint
from engine.inference.local import LocalEngine
from tests.engine.published import CONFIG, assert_same_bits, published_model

WORDS = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,?0123456789", "Ġ", "th", "the"]
MERGES = [("t", "h"), ("th", "e")]


class VLMQwenConfig(Qwen2Config):
    model_type = "vlm_qwen"


class VLMQwenForCausalLM(Qwen2ForCausalLM):
    """The language model, with vision tower and projector inside its `model`."""

    config_class = VLMQwenConfig

    def __init__(self, config):
        super().__init__(config)
        network = published_model()
        self.model.vision_tower = network.model.vision_tower
        self.model.mm_projector = network.model.mm_projector


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authors")
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=MERGES, eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<im_patch>"]})
    torch.manual_seed(2)
    model = VLMQwenForCausalLM(VLMQwenConfig(**CONFIG)).to(torch.bfloat16)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder, max_shard_size="30MB")
    tokenizer.save_pretrained(folder)
    return folder


def stored(folder: Path) -> dict[str, torch.Tensor]:
    shards = sorted(folder.glob("model*.safetensors"))
    return {name: t for shard in shards for name, t in load_file(shard).items()}


def test_it_loads_and_runs(saved: Path) -> None:
    checkpoint = load_checkpoint(saved, dtype=torch.bfloat16)
    weights = stored(saved)
    state = checkpoint.model.state_dict()
    assert all(torch.equal(t, weights[n].to(t.dtype)) for n, t in state.items())
    assert checkpoint.model.config.llm.vocab_size == checkpoint.tokenizer.get_vocab_size()
    ids = checkpoint.tokenizer.encode("<im_patch><im_patch>the").ids
    assert [checkpoint.tokenizer.id_to_token(i) for i in ids] == ["<im_patch>"] * 2 + ["the"]
    assert LocalEngine(checkpoint).identity.version == "published"


def test_nothing_is_at_fault(saved: Path) -> None:
    facts = inspect_checkpoint(saved)
    assert facts["faults"] == []
    assert len(facts["files"]) > 1
    assert facts["network"]["splice"] == "published"


def test_it_survives_the_way_there_and_back(saved: Path, tmp_path: Path) -> None:
    convert(saved, tmp_path / "native")
    convert(tmp_path / "native", tmp_path / "again")
    assert_same_bits(stored(tmp_path / "again"), stored(saved))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()
