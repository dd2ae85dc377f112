import pytest
import torch
from torch import nn
from transformers.models.qwen2 import Qwen2Config

from engine.inference.quantization import full_weight, quantize
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.network.projector import ProjectorConfig, StreamConfig
from engine.protocol import Quantization
from tests.training import tiny
from training.learner.adapters import TARGETS, adapted_layers, add_adapters, merge_adapters

LLM = Qwen2Config(vocab_size=40, **{**tiny.QWEN, "hidden_size": 64, "intermediate_size": 128})
PROJECTOR = ProjectorConfig(
    StreamConfig(tiny.VISION.tokens(3), 12, (4, 4)),
    StreamConfig(tiny.VISION.tokens(4), 16, (2, 4)),
    64,
)
EMBEDDINGS = torch.randn(2, 9, 64, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def model() -> Med3DVLM:
    torch.manual_seed(3)
    return Med3DVLM(Med3DVLMConfig(tiny.VISION, PROJECTOR, LLM)).eval()


def add(model: Med3DVLM, quantization: Quantization = "none", seed: int = 1) -> None:
    add_adapters(model, rank=4, alpha=8, dropout=0.5, seed=seed, quantization=quantization)
    model.eval()


def teach(model: Med3DVLM) -> None:
    """Adapters that change something."""
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)


def test_every_linear_map_of_the_layers_has_one(model):
    add(model)
    adapted = [name for name, _ in adapted_layers(model)]
    assert len(adapted) == len(TARGETS) * LLM.num_hidden_layers
    assert all(name.startswith("model.layers.") for name in adapted)


@torch.no_grad()
def test_a_model_begins_as_it_was(model):
    before = model(EMBEDDINGS)
    add(model)
    assert torch.equal(model(EMBEDDINGS), before)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_gradients_go_through_quantized_weights_even_after_a_validation(model, quantization):
    add(model, quantization)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    with torch.no_grad():
        model(EMBEDDINGS)
    model.train()
    model(EMBEDDINGS).square().sum().backward()
    gradients = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
    assert all(g is not None and g.isfinite().all() and g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize(("quantization", "error"), [("none", 1e-5), ("nf4", 1e-5), ("int8", 2e-2)])
@torch.no_grad()
def test_merged_weights_write_what_the_adapters_wrote(model, quantization, error):
    """int8 also rounds what goes into a linear map; its weights are the same."""
    add(model, quantization)
    teach(model)
    applied = model(EMBEDDINGS)
    merge_adapters(model)
    assert (model(EMBEDDINGS) - applied).norm() / applied.norm() < error
    assert not list(adapted_layers(model))


def test_a_merged_model_has_the_names_of_one_that_never_had_adapters(model):
    names = list(model.state_dict())
    add(model, "nf4")
    merge_adapters(model)
    assert sorted(model.state_dict()) == sorted(names)


@torch.no_grad()
def test_merging_in_bfloat16_rounds_once(model):
    model.bfloat16()
    add(model)
    teach(model)
    (_, adapted), *_ = adapted_layers(model)
    weight = adapted.get_base_layer().weight.float()
    exact = weight + 2 * adapted.lora_B["default"].weight @ adapted.lora_A["default"].weight
    merge_adapters(model)
    merged = model.get_submodule("model.layers.0.self_attn.q_proj").weight
    assert torch.equal(merged, exact.bfloat16())


def test_adapters_are_in_float32_above_other_weights(model):
    model.bfloat16()
    add(model)
    types = {p.dtype for n, p in model.named_parameters() if "lora_" in n}
    assert types == {torch.float32}


def test_the_seed_decides_where_adapters_begin_and_nothing_else_is_drawn(model):
    state = torch.get_rng_state()
    add(model, seed=9)
    assert torch.equal(torch.get_rng_state(), state)
    first = next(p for n, p in model.named_parameters() if "lora_A" in n).clone()
    merge_adapters(model)
    add(model, seed=9)
    assert torch.equal(next(p for n, p in model.named_parameters() if "lora_A" in n), first)


@pytest.mark.parametrize(("kind", "error"), [("int8", 1e-2), ("nf4", 0.15)])
def test_the_full_weight_of_a_quantized_map_is_close_to_what_it_was(model, kind, error):
    name = "layers.0.mlp.up_proj"
    before = model.model.get_submodule(name).weight.detach().clone()
    quantize(model, kind, torch.device("cpu"))
    linear = model.model.get_submodule(name)
    assert (full_weight(linear) - before).norm() / before.norm() < error
    model(EMBEDDINGS)  # int8 keeps its scales elsewhere from now on
    assert (full_weight(linear) - before).norm() / before.norm() < error
