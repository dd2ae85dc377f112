"""Loose files as the authors' scripts and PEFT write them."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Qwen2ForCausalLM

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.adapters import merge_lora, merged_weight
from engine.checkpoints.checkpoint import load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.layouts.vlm_qwen import ADDED_KEYS
from engine.checkpoints.loose import (
    add_part,
    load_vision_tower,
    lora_scale,
    read_part,
)
from tests.engine.published import (
    CONFIG,
    assert_same_bits,
    published_model,
    published_tokenizer,
    write_settings,
)

TOWER = "model.vision_tower.vision_tower."


class Trained(nn.Module):
    """What the authors hand to PEFT, as far as names go."""

    def __init__(self):
        super().__init__()
        network = published_model()
        self.model, self.lm_head = network.model, network.lm_head


def with_adapters(dtype: torch.dtype = torch.float32) -> nn.Module:
    """LoRA on every linear layer of the language model, trained a little."""
    trained = Trained().to(dtype)
    linears = [
        name
        for name, module in trained.named_modules()
        if isinstance(module, nn.Linear) and "self_attn" in name and "vision" not in name
    ]
    config = LoraConfig(r=16, lora_alpha=32, target_modules=linears, lora_dropout=0.05)
    model = get_peft_model(trained, config)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    return model


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published_model().state_dict()


@pytest.fixture
def published(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    folder = write_settings(tmp_path / "published")
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_are_merged_as_peft_merges_them(tmp_path: Path, dtype: torch.dtype) -> None:
    model = with_adapters(dtype)
    torch.save(model.state_dict(), tmp_path / "model_with_lora.bin")
    query = "model.layers.0.self_attn.q_proj"
    before = model.get_parameter(f"base_model.model.{query}.base_layer.weight").clone()
    merged = add_part({}, read_part(tmp_path / "model_with_lora.bin"))
    assert_same_bits(merged, model.merge_and_unload().state_dict())
    assert not torch.equal(merged[f"{query}.weight"], before)


def test_adapters_in_bfloat16_are_added_in_full_and_rounded_once() -> None:
    weight, a, b = (
        torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
        for seed, shape in enumerate([(64, 48), (8, 48), (64, 8)])
    )
    tensors = {"q.weight": weight, "q.lora_A.weight": a, "q.lora_B.weight": b}
    merged = merge_lora(tensors, 2.0)["q.weight"]
    exact = weight.double() + 2 * b.double() @ a.double()
    rounded_twice = weight + (2 * b.float() @ a.float()).bfloat16()
    assert merged.dtype is torch.bfloat16
    assert (merged - exact).norm() < (rounded_twice - exact).norm()
    assert torch.equal(merged, merged_weight(weight, a, b, 2.0))


def test_an_adapter_that_peft_saved_alone_is_merged_into_a_checkpoint(
    published: Path, tmp_path: Path
) -> None:
    model = with_adapters()
    model.save_pretrained(tmp_path / "adapter")
    convert(published, tmp_path / "native", [tmp_path / "adapter" / "adapter_model.safetensors"])
    assert_same_bits(
        load_checkpoint(tmp_path / "native").model.state_dict(),
        model.merge_and_unload().state_dict(),
    )


def test_alpha_comes_from_the_trainers_last_checkpoint(tmp_path: Path) -> None:
    for step, alpha in ((90, 8), (1000, 64)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        config = json.dumps({"r": 16, "lora_alpha": alpha})
        (tmp_path / f"checkpoint-{step}" / "adapter_config.json").write_text(config)
    assert lora_scale(tmp_path / "model_with_lora.bin", 16) == 4.0


def test_alpha_is_the_authors_where_the_rank_is_and_asked_for_elsewhere(tmp_path: Path) -> None:
    assert lora_scale(tmp_path / "model_with_lora.bin", 16) == 2.0
    assert lora_scale(tmp_path / "model_with_lora.bin", 8, alpha=4) == 0.5
    with pytest.raises(CheckpointMismatch, match="states the alpha of its adapters of rank 8"):
        lora_scale(tmp_path / "model_with_lora.bin", 8)


def test_an_adapter_without_its_other_half_is_named(tmp_path: Path) -> None:
    state = {n: t for n, t in with_adapters().state_dict().items() if "lora_B" not in n}
    torch.save(state, tmp_path / "model_with_lora.bin")
    with pytest.raises(CheckpointMismatch, match=r"lora_A\.weight has no .*lora_B\.weight"):
        add_part({}, read_part(tmp_path / "model_with_lora.bin"))


def test_tensors_that_zero_3_left_empty_are_named(tmp_path: Path) -> None:
    torch.save(
        {"model.mm_projector.low_mixer.0.ln1.weight": torch.empty(0)}, tmp_path / "mm_projector.bin"
    )
    with pytest.raises(CheckpointMismatch, match=r"ZeRO-3 .* empty: model\.mm_projector\.low"):
        read_part(tmp_path / "mm_projector.bin")


@pytest.mark.parametrize("begin", ["", "vision_tower.", "module.vision_tower."])
def test_a_vision_tower_loads_alone(weights: dict[str, Tensor], tmp_path: Path, begin: str) -> None:
    tower = {n.removeprefix(TOWER): t for n, t in weights.items() if n.startswith(TOWER)}
    path = tmp_path / "pretrained_ViT.bin"
    torch.save({begin + name: t for name, t in tower.items()}, path)
    assert read_part(path).kind == "vision tower"
    assert_same_bits(load_vision_tower(path).state_dict(), tower)


def test_stage_two_is_put_together_from_the_language_model_and_two_files(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    base = tmp_path / "qwen"
    config = {key: value for key, value in CONFIG.items() if key not in ADDED_KEYS}
    llm = {"model_type": "qwen2", "vocab_size": 20}
    language = Qwen2ForCausalLM(Qwen2ForCausalLM.config_class(**config | llm))
    language.save_pretrained(base)
    published_tokenizer().save(str(base / "tokenizer.json"))
    embeddings = torch.randn(17, 64)
    projector = {n: t for n, t in weights.items() if n.startswith("model.mm_projector.")}
    tower = {n.removeprefix(TOWER): t for n, t in weights.items() if n.startswith(TOWER)}
    torch.save(projector | {"model.embed_tokens.weight": embeddings}, tmp_path / "mm_projector.bin")
    torch.save(tower, tmp_path / "pretrained_ViT.bin")
    convert(
        base, tmp_path / "native", [tmp_path / "pretrained_ViT.bin", tmp_path / "mm_projector.bin"]
    )
    merged = load_checkpoint(tmp_path / "native")
    state = merged.model.state_dict()
    assert_same_bits({n: state[n] for n in projector}, projector)
    assert torch.equal(state["model.embed_tokens.weight"], embeddings)
    head = language.lm_head.weight[:16]
    assert torch.equal(state["lm_head.weight"], torch.cat([head, head.mean(dim=0, keepdim=True)]))
    assert merged.prompt.image_token == "<im_patch>"
    convert(tmp_path / "native", tmp_path / "published")
    again = load_checkpoint(tmp_path / "published")
    assert_same_bits(again.model.state_dict(), state)
    assert again.model.config.splice == "published"


def test_a_language_model_alone_lacks_the_rest_by_name(tmp_path: Path) -> None:
    base = tmp_path / "qwen"
    llm = {"model_type": "qwen2"}
    config = {key: value for key, value in CONFIG.items() if key not in ADDED_KEYS} | llm
    Qwen2ForCausalLM(Qwen2ForCausalLM.config_class(**config)).save_pretrained(base)
    published_tokenizer().save(str(base / "tokenizer.json"))
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.mm_projector"):
        load_checkpoint(base)
