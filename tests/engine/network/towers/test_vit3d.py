from collections.abc import Callable

import pytest
import torch

from engine.network.towers.vit3d import (
    AblationViT3D,
    AblationViT3DConfig,
    ViT3D,
    ViT3DConfig,
    patches,
)
from tests.engine.golden import FIGURES, assert_equals_golden, filled, layout_digest, uniform

TWO_LAYERS = ViT3DConfig(layers=2, unused_norms=True)
SMALL = ViT3DConfig((8, 32, 48), (4, 16, 16), width=24, layers=2, heads=4)
SMALL_ABLATION = AblationViT3DConfig((16, 24, 32), 8, width=20, layers=2, heads=2, head_width=6)


def test_every_hidden_state_of_m3ds_tower_equals_its_authors() -> None:
    tower = filled(ViT3D(TWO_LAYERS))
    with torch.inference_mode():
        hidden_states = tower(uniform(13, 1, 1, 32, 256, 256))
    for hidden, figure in zip(hidden_states, FIGURES["m3d_vit"]["hidden_states"], strict=True):
        assert_equals_golden(hidden, figure)


def test_names_and_shapes_of_m3ds_tower_are_those_of_a_current_monai() -> None:
    with torch.device("meta"):
        assert layout_digest(ViT3D(TWO_LAYERS)) == FIGURES["m3d_vit"]["layout"]


def test_the_published_tower_lacks_only_the_norms_that_nothing_reads() -> None:
    with torch.device("meta"):
        current = ViT3D(TWO_LAYERS).state_dict().keys()
        published = ViT3D(ViT3DConfig(layers=2)).state_dict().keys()
    assert {name for name in current if "norm_cross_attn" not in name} == published


def test_m3ds_tower_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        tower = ViT3D(ViT3DConfig())
    assert round(sum(p.numel() for p in tower.parameters()) / 1e6, 1) == 87.4


def test_m3ds_tower_equals_monais_at_sizes_of_its_own() -> None:
    from monai.networks.nets import ViT

    monai = ViT(
        in_channels=1,
        img_size=SMALL.input_size,
        patch_size=SMALL.patch,
        hidden_size=SMALL.width,
        mlp_dim=4 * SMALL.width,
        num_layers=SMALL.layers,
        num_heads=SMALL.heads,
        proj_type="perceptron",
        classification=True,
    ).eval()
    del monai.classification_head  # M3D takes the tokens
    ours = ViT3D(SMALL).eval()
    weights = {n: t for n, t in monai.state_dict().items() if "norm_cross_attn" not in n}
    ours.load_state_dict(weights)
    volume = uniform(3, 2, 1, *SMALL.input_size)
    monai_last, monai_hidden = monai_without_head(monai, volume)
    *hidden, last = ours(volume)
    torch.testing.assert_close(last, monai_last)
    for mine, theirs in zip(hidden, monai_hidden, strict=True):
        torch.testing.assert_close(mine, theirs)


def monai_without_head(vit: torch.nn.Module, volume: torch.Tensor) -> tuple[torch.Tensor, list]:
    x = vit.patch_embedding(volume)
    x = torch.cat((vit.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
    hidden = []
    for block in vit.blocks:
        x = block(x)
        hidden.append(x)
    return vit.norm(x), hidden


def test_the_ablation_tower_equals_its_authors() -> None:
    tower = filled(AblationViT3D(AblationViT3DConfig(width=192, layers=2)))
    with torch.inference_mode():
        hidden_states = tower(uniform(7, 1, 1, 128, 256, 256))
    assert_equals_golden(hidden_states[-1], FIGURES["authors_vit3d"]["output"])
    assert layout_digest(tower) == FIGURES["authors_vit3d"]["layout"]


def test_the_ablation_tower_has_half_the_parameters_of_m3ds() -> None:
    with torch.device("meta"):
        tower = AblationViT3D(AblationViT3DConfig())
    assert round(sum(p.numel() for p in tower.parameters()) / 1e6, 1) == 44.4


def test_tokens_of_the_ablation_tower_run_through_depth_slowest() -> None:
    tower = AblationViT3D(SMALL_ABLATION).eval()
    volume = torch.zeros(1, 1, *SMALL_ABLATION.input_size)
    changed = volume.clone()
    changed[0, 0, 8:, 16:, 8:16] = torch.rand(8, 8, 8)  # patch (1, 2, 1) of a grid of 2 x 3 x 4
    for block in tower.encoder.transformer.layers:  # no attention: each token sees itself alone
        block[0].to_out[0].weight.data.zero_()
    moved = (tower(volume)[-1] - tower(changed)[-1]).abs().sum(dim=2)[0]
    assert moved.nonzero().flatten().tolist() == [(1 * 3 + 2) * 4 + 1]


def test_a_patch_is_read_with_the_last_axis_fastest() -> None:
    volume = torch.arange(2 * 4 * 6.0).view(1, 1, 2, 4, 6)
    cut = patches(volume, (1, 2, 3))
    assert cut.shape == (1, 2 * 2 * 2, 6)
    assert torch.equal(cut[0, 3], volume[0, 0, 0, 2:, 3:].flatten())


@pytest.mark.parametrize("tower", [ViT3D(SMALL), AblationViT3D(SMALL_ABLATION)])
def test_every_weight_of_a_tower_learns(tower: torch.nn.Module) -> None:
    tower(uniform(1, 2, 1, *tower.config.input_size))[-1].square().sum().backward()
    assert [n for n, p in tower.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    "config",
    [lambda: ViT3DConfig((30, 256, 256)), lambda: AblationViT3DConfig((128, 256, 250))],
)
def test_a_size_that_cannot_be_cut_into_patches_is_refused(config: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="cannot be cut into patches"):
        config()
