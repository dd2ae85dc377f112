import numpy as np
import pytest
import torch

from dicom_io.phantom import draw_truth
from engine.dcformer import DCFormer
from training.embedded import build_model, vocabulary
from training.language import (
    Features,
    Reader,
    finetune,
    merge_adapters,
    pretrain_language,
    train_projector,
)


@pytest.fixture
def reader(recipe) -> Reader:
    tokenizer = vocabulary()
    return Reader(build_model(recipe, tokenizer, DCFormer(recipe.vision_config)), tokenizer)


@pytest.fixture
def features(reader, truths) -> Features:
    size = reader.model.config.vision
    low, high = (torch.randn(len(truths), size.tokens(s), size.channels[s]) for s in (3, 4))
    return Features(low, high)


def changed(model, before: dict) -> set[str]:
    return {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}


def weights(model) -> dict:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def test_the_language_stage_leaves_everything_visual_alone(reader, recipe, tmp_path):
    before = weights(reader.model)
    pretrain_language(reader, recipe.language, draw_truth, 1, tmp_path)
    moved = changed(reader.model, before)
    assert moved
    assert not [n for n in moved if "vision_tower" in n or "mm_projector" in n]


def test_stage_2_moves_the_projector_only(reader, recipe, features, truths, tmp_path):
    before = weights(reader.model)
    train_projector(reader, recipe.projection, features, truths, 1, tmp_path)
    moved = changed(reader.model, before)
    assert moved == {n for n in before if n.startswith("model.mm_projector.")}


def test_stage_3_ends_without_adapters_and_with_the_same_names(
    reader, recipe, features, truths, tmp_path
):
    before = weights(reader.model)
    finetune(reader, recipe.finetune, features, truths, 1, tmp_path)
    assert {n for n, _ in reader.model.named_parameters()} == set(before)
    moved = changed(reader.model, before)
    assert "model.layers.0.self_attn.q_proj.weight" in moved
    assert "lm_head.weight" not in moved
    assert not [n for n in moved if "vision_tower" in n]


def test_merged_weights_compute_what_the_adapters_computed():
    from peft import LoraConfig, inject_adapter_in_model

    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["0", "2"]), model)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    x = torch.randn(4, 8)
    adapted = model(x)
    merge_adapters(model)
    assert [type(m) for m in model] == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]
    assert torch.allclose(model(x), adapted, atol=1e-5)


def test_facts_fill_the_slots_of_the_image_tokens(reader, truths, recipe):
    spelled = reader.facts(truths)
    assert spelled.shape == (len(truths), reader.slots, recipe.llm["hidden_size"])


def test_the_loss_is_that_of_the_report_alone(reader, truths):
    """The first step's loss is near log(vocabulary), whatever the prompt's length."""
    with torch.no_grad():
        loss = reader.loss(reader.facts(truths), truths, np.random.default_rng(0))
    assert float(loss) == pytest.approx(np.log(reader.tokenizer.get_vocab_size()), rel=0.1)


def test_the_projector_learns_reports_by_heart(reader, recipe, features, truths, tmp_path):
    plan = recipe.projection.model_copy(
        update={"steps": 150, "batch": len(truths), "learning_rate": 1e-2}
    )
    learnt = recipe.language.model_copy(update={"steps": 200, "batch": 16, "learning_rate": 5e-3})
    pretrain_language(reader, learnt, draw_truth, 1, tmp_path)

    def loss() -> float:
        with torch.no_grad():
            tokens = reader.model.project(features.low, features.high)
            return float(reader.loss(tokens, truths, np.random.default_rng(9)))

    before = loss()
    train_projector(reader, plan, features, truths, 1, tmp_path)
    assert loss() < 0.8 * before
