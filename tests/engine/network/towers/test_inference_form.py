from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.inference.local import LocalEngine
from engine.network.towers.dcformer import VARIANTS, DCFormer, DCFormerConfig
from engine.network.towers.inference_form import InferenceForm, use_inference_form
from engine.protocol import Sampling
from tests.engine.conftest import input_for
from tests.engine.golden import FIGURES, assert_equals_golden, filled, uniform

TINY = DCFormerConfig((1, 1, 2, 1), (6, 8, 10, 12, 14))
SMALL_INPUT = (2, 1, 32, 48, 40)


def trained(config: DCFormerConfig) -> DCFormer:
    """Every branch of a block counts: the layer scale is large."""
    torch.manual_seed(0)
    tower = DCFormer(replace(config, layer_scale=0.5)).eval()
    for name, tensor in tower.named_buffers():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    return tower


def assert_equal(outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    assert len(outputs) == len(expected)
    for output, hidden in zip(outputs, expected, strict=True):
        assert output.shape == hidden.shape
        assert (output - hidden).abs().max() <= 1e-5 * hidden.abs().max()


@torch.inference_mode()
def assert_same_function(config: DCFormerConfig, *shape: int) -> None:
    tower, volume = trained(config), uniform(1, *shape)
    assert_equal(InferenceForm(tower)(volume), tower(volume))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_keeps_every_hidden_state(variant: str) -> None:
    config = VARIANTS[variant]
    if variant == "large":  # 0.7 GB at its own width
        config = replace(config, channels=tuple(c // 8 for c in config.channels))
    assert_same_function(config, *SMALL_INPUT)


@pytest.mark.parametrize("size", [(65, 66, 71), (33, 5, 18), (4, 7, 129), (1, 1, 1)])
def test_odd_sizes_keep_their_borders(size: tuple[int, int, int]) -> None:
    assert_same_function(TINY, 2, 1, *size)


@pytest.mark.parametrize("refinements", range(4))
def test_a_stem_may_have_any_number_of_refinements(refinements: int) -> None:
    assert_same_function(replace(TINY, stem_refinements=refinements), *SMALL_INPUT)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_patch_stem_has_an_inference_form_too(batch: int) -> None:
    assert_same_function(replace(TINY, stem="patch"), batch, 1, 32, 48, 40)


def test_images_of_a_batch_do_not_touch_one_another() -> None:
    form, volumes = InferenceForm(trained(TINY)), uniform(1, *SMALL_INPUT)
    with torch.inference_mode():
        together, alone = form(volumes), form(volumes[1:])
    assert_equal([hidden[1:] for hidden in together], alone)


def test_every_hidden_state_equals_the_authors() -> None:
    form = InferenceForm(filled(DCFormer(VARIANTS["nano"])))
    with torch.inference_mode():
        hidden_states = form(uniform(7, 1, 1, 128, 256, 256))
    figures = FIGURES["dcformer_nano"]["hidden_states"]
    for hidden, figure in zip(hidden_states, figures, strict=True):
        assert_equals_golden(hidden, figure)


def test_an_mlp_in_pieces_gives_what_it_gives_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    form, volume = InferenceForm(trained(TINY)), uniform(1, *SMALL_INPUT)
    with torch.inference_mode():
        at_once = form(volume)
        monkeypatch.setattr("engine.network.towers.inference_form.HIDDEN_VALUES", 100)
        assert_equal(form(volume), at_once)


def test_the_volume_and_the_trained_tower_stay_as_they_are() -> None:
    tower, volume = trained(TINY), uniform(1, *SMALL_INPUT)
    before, copy = tower(volume), volume.clone()
    InferenceForm(tower)(volume)
    assert torch.equal(volume, copy)
    assert_equal(tower(volume), before)


@torch.inference_mode()
def test_in_bfloat16_it_moves_by_a_few_hundredths_and_gives_float32() -> None:
    tower, volume = trained(TINY), torch.rand(*SMALL_INPUT)
    for hidden, wanted in zip(
        InferenceForm(tower, torch.bfloat16)(volume), tower(volume), strict=True
    ):
        assert hidden.dtype is torch.float32
        moved = float((hidden - wanted).norm() / wanted.norm())
        assert 1e-4 < moved < 0.03  # a bfloat16 has eight bits


def test_an_engine_runs_the_inference_form_of_what_it_loads(folder: Path) -> None:
    model = LocalEngine.load(folder, device="cpu")._model
    assert any(isinstance(module, InferenceForm) for module in model.modules())
    assert not any(isinstance(module, DCFormer) for module in model.modules())


def test_an_engine_writes_the_same_report_with_either_form(checkpoint: Checkpoint) -> None:
    model_input = input_for(checkpoint.preprocess)
    few = Sampling(max_new_tokens=8)
    as_trained = LocalEngine(checkpoint).report(model_input, few)
    use_inference_form(checkpoint.model)
    report = LocalEngine(checkpoint).report(model_input, few)
    assert report.token_ids == as_trained.token_ids
    assert report.image_embedding == pytest.approx(as_trained.image_embedding, rel=1e-4, abs=1e-5)
