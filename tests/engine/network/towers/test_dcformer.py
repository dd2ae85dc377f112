from itertools import product

import pytest
import torch
from torch import nn

from engine.network.towers.dcformer import VARIANTS, DCFormer, DCFormerConfig
from tests.engine.golden import (
    FIGURES,
    assert_equals_golden,
    filled,
    layout_digest,
    uniform,
)

MILLIONS = {"nano": 0.79, "naive": 5.85, "tiny": 14.66, "small": 18.24, "base": 33.87}


def on_meta(config: DCFormerConfig) -> DCFormer:
    with torch.device("meta"):
        return DCFormer(config)


@pytest.mark.parametrize("variant", ["nano", "small"])
def test_every_hidden_state_equals_the_authors(variant: str) -> None:
    tower = filled(DCFormer(VARIANTS[variant]))
    with torch.inference_mode():
        hidden_states = tower(uniform(7, 1, 1, 128, 256, 256))
    figures = FIGURES[f"dcformer_{variant}"]["hidden_states"]
    for hidden, figure in zip(hidden_states, figures, strict=True):
        assert_equals_golden(hidden, figure)


@pytest.mark.parametrize("variant", ["nano", "small"])
def test_names_and_shapes_are_the_published_ones(variant: str) -> None:
    tower = on_meta(VARIANTS[variant])
    assert layout_digest(tower) == FIGURES[f"dcformer_{variant}"]["layout"]


@pytest.mark.parametrize(("variant", "millions"), MILLIONS.items())
def test_a_variant_has_the_parameters_of_the_paper(variant: str, millions: float) -> None:
    count = sum(p.numel() for p in on_meta(VARIANTS[variant]).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


def test_the_large_variant_gives_five_hidden_states_of_its_channels() -> None:
    config = VARIANTS["large"]
    hidden_states = on_meta(config)(torch.empty(1, 1, 128, 256, 256, device="meta"))
    expected = [(1, config.tokens(stage), c) for stage, c in enumerate(config.channels)]
    assert [tuple(h.shape) for h in hidden_states] == expected


SIZES = [(64, 128, 128), (96, 160, 160), (68, 100, 76)]


@pytest.mark.parametrize(
    ("stem", "size"),
    [*product(["decomposed", "patch"], SIZES), ("decomposed", (65, 66, 71))],
)
def test_a_config_knows_its_token_counts_before_anything_runs(
    stem: str, size: tuple[int, int, int]
) -> None:
    config = DCFormerConfig((1, 1, 1, 1), (2, 2, 2, 2, 2), stem=stem, input_size=size)
    hidden_states = on_meta(config).eval()(torch.empty(1, 1, *size, device="meta"))
    assert [h.shape[1] for h in hidden_states] == [config.tokens(stage) for stage in range(5)]


def test_tokens_run_through_depth_slowest_and_width_fastest() -> None:
    config = DCFormerConfig((1, 1, 1, 1), (1, 1, 1, 1, 1), stem="patch", input_size=(64, 128, 192))
    tower = DCFormer(config).eval()
    nn.init.constant_(tower.encoder.s0.linear.weight, 1.0)
    volume = torch.zeros(1, 1, 64, 128, 192)
    volume[0, 0, 4:8, 8:12, 20:24] = 1.0  # patch (1, 2, 5) of a grid of 16 x 32 x 48
    stem = tower(volume)[0][0, :, 0]
    assert int(stem.argmax()) == (1 * 32 + 2) * 48 + 5


def test_the_patch_stem_reads_every_voxel_and_the_published_one_does_not() -> None:
    def read(config: DCFormerConfig) -> float:
        volume = torch.zeros(1, 1, 64, 64, 64, requires_grad=True)
        torch.manual_seed(0)
        DCFormer(config).eval()(volume)[0].sum().backward()
        return float((volume.grad != 0).float().mean())

    channels, blocks = (4, 4, 4, 4, 4), (1, 1, 1, 1)
    assert read(DCFormerConfig(blocks, channels, stem="patch")) == 1.0
    assert read(DCFormerConfig(blocks, channels, stem_refinements=0)) < 0.2


def test_a_size_that_cannot_be_cut_into_patches_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        DCFormerConfig(stem="patch", input_size=(64, 64, 66))


def test_the_layer_scale_starts_where_it_is_told_to() -> None:
    config = DCFormerConfig((1, 1, 1, 1), (2, 2, 2, 2, 2), layer_scale=0.25)
    assert torch.equal(DCFormer(config).encoder.s1[0].scale, torch.full((2,), 0.25))


def test_the_variants_are_those_of_the_authors() -> None:
    assert {n: (v.blocks, v.channels) for n, v in VARIANTS.items()} == {
        "nano": ((1, 1, 1, 1), (32, 32, 64, 128, 256)),
        "naive": ((2, 2, 2, 2), (32, 64, 128, 256, 512)),
        "tiny": ((2, 3, 3, 2), (64, 96, 192, 384, 768)),
        "small": ((2, 3, 6, 2), (64, 96, 192, 384, 768)),
        "base": ((2, 6, 6, 2), (64, 128, 256, 512, 1024)),
        "large": ((2, 6, 12, 2), (64, 256, 512, 1024, 2048)),
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_weight_of_a_variant_learns(variant: str) -> None:
    tower = on_meta(VARIANTS[variant])  # shapes and gradients, no arithmetic
    tower(torch.empty(2, 1, 64, 64, 64, device="meta"))[-1].sum().backward()
    assert [n for n, p in tower.named_parameters() if p.grad is None] == []


def test_bfloat16_gives_the_same_within_its_precision() -> None:
    tower = filled(DCFormer(VARIANTS["nano"]))
    volume = uniform(5, 2, 1, 32, 44, 52)
    with torch.inference_mode():
        exact = tower(volume)[-1]
        rounded = tower.bfloat16()(volume.bfloat16())[-1]
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).norm() <= 0.03 * exact.norm()


def test_a_volume_is_encoded_alike_alone_and_in_a_batch() -> None:
    tower = filled(DCFormer(VARIANTS["nano"]))
    volumes = uniform(5, 2, 1, 33, 45, 50)
    with torch.inference_mode():
        alone, both = tower(volumes[1:])[-1], tower(volumes)[-1]
    torch.testing.assert_close(alone[0], both[1], rtol=1e-4, atol=1e-4)  # values of about 1
