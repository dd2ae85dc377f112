from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from engine.network.projector import (
    PUBLISHED,
    DualStreamMixer,
    Kind,
    ProjectorConfig,
    StreamConfig,
    projector,
)
from tests.engine.golden import FIGURES, assert_equals_golden, filled, layout_digest, uniform

GOLDEN = replace(PUBLISHED, width=256)
ONE_LAYER = replace(GOLDEN, low=StreamConfig(256, 384, (128,)), high=StreamConfig(32, 768, (128,)))
LOW, HIGH = (8, 2, 256, 384), (9, 2, 32, 768)


def test_image_tokens_equal_the_authors() -> None:
    mixer = filled(DualStreamMixer(GOLDEN))
    output = mixer(uniform(8, 2, 256, 384), uniform(9, 2, 32, 768))
    assert_equals_golden(output, FIGURES["mixer"]["output"])


def test_names_and_shapes_are_the_published_ones() -> None:
    assert layout_digest(DualStreamMixer(GOLDEN)) == FIGURES["mixer"]["layout"]


def test_the_published_projector_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        mixer = DualStreamMixer(PUBLISHED)
    assert round(sum(p.numel() for p in mixer.parameters()) / 1e6, 2) == 47.22


def test_low_tokens_come_first() -> None:
    config = ProjectorConfig(StreamConfig(6, 4, (3, 2)), StreamConfig(5, 4, (4, 3)), width=8)
    mixer = DualStreamMixer(config)
    low, high = torch.rand(1, 6, 4), torch.rand(1, 5, 4)
    output = mixer(low, high)
    assert output.shape == (1, config.image_tokens, 8)
    assert torch.equal(output[:, :2], mixer.low_mixer(low))


def test_one_layer_reaches_the_width_at_once() -> None:
    stream = StreamConfig(6, 4, (2,))
    mixer = DualStreamMixer(ProjectorConfig(stream, stream, width=8))
    assert mixer(torch.rand(1, 6, 4), torch.rand(1, 6, 4)).shape == (1, 4, 8)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mixer_1x", ONE_LAYER),
        ("low_high_mlp", replace(GOLDEN, kind="low_high_mlp")),
        ("mlp", replace(GOLDEN, kind="mlp")),
    ],
)
def test_the_other_projectors_equal_the_authors(name: str, config: ProjectorConfig) -> None:
    module = filled(projector(config))
    streams = [uniform(*LOW), uniform(*HIGH)] if config.hierarchical else [uniform(*HIGH)]
    assert layout_digest(module) == FIGURES[name]["layout"]
    assert_equals_golden(module(*streams), FIGURES[name]["output"])


def test_the_linear_projector_is_one_linear_map_of_the_last_stage() -> None:
    module = projector(replace(PUBLISHED, kind="linear", width=8))
    assert isinstance(module, nn.Linear)
    assert (module.in_features, module.out_features) == (768, 8)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_projector_gives_the_tokens_that_its_config_says_and_learns(kind: Kind) -> None:
    config = ProjectorConfig(
        StreamConfig(10, 6, (7, 5)), StreamConfig(3, 12, (2, 4)), width=16, kind=kind
    )
    low, high = torch.rand(3, 10, 6), torch.rand(3, 3, 12)
    module = projector(config)
    output = module(low, high) if config.hierarchical else module(high)
    assert output.shape == (3, config.image_tokens, 16)
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
