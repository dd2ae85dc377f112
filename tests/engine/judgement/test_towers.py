"""Towers that can be entered at an early grid: both halves are the whole, and cells lie there."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from engine.judgement.evidence import DividedTower, divided_tower
from engine.network.families.radfm import RadFMViT, RadFMViTConfig
from engine.network.towers.ct_vit import CTViT
from engine.network.towers.dcformer import DCFormer, DCFormerConfig
from engine.network.towers.inference_form import InferenceForm
from engine.network.towers.primus import Primus, PrimusConfig
from engine.network.towers.resnet3d import ResNet3D, ResNet3DConfig
from engine.network.towers.vit3d import AblationViT3D, AblationViT3DConfig, ViT3D, ViT3DConfig

SIZE = (32, 64, 96)


def dcformer(stem: str) -> DCFormer:
    # without layer scale a cell looks along the shortcut alone
    config = DCFormerConfig(
        (1, 1, 1, 1), (2, 4, 4, 4, 8), stem=stem, layer_scale=0.0, input_size=SIZE
    )
    return DCFormer(config)


def towers() -> dict[str, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        patch = (4, 16, 16)
        small = {"width": 12, "layers": 2, "heads": 2}
        made = {
            "DCFormer, patches": dcformer("patch"),
            "DCFormer": dcformer("decomposed"),
            "ViT3D": ViT3D(ViT3DConfig(SIZE, patch, **small)),
            "ablation": AblationViT3D(AblationViT3DConfig(SIZE, 16, head_width=4, **small)),
            "Primus": Primus(PrimusConfig(SIZE, 8, mlp=8, **small)),
            "RadFM": RadFMViT(
                RadFMViTConfig(SIZE, patch, (16, 8, 8), head_width=4, feed_forward=8, **small)
            ),
            "ResNet3D": ResNet3D(ResNet3DConfig(SIZE, (1, 1, 1, 1), stem=4)),
        }
    inference = {f"{name}, inference": InferenceForm(made[name]) for name in [*made][:2]}
    return {name: tower.eval() for name, tower in {**made, **inference}.items()}


TOWERS = towers()


@pytest.fixture(params=TOWERS)
def tower(request: pytest.FixtureRequest) -> DividedTower:
    found = divided_tower(TOWERS[request.param])
    assert found is not None
    return found


def volume() -> torch.Tensor:
    return torch.rand(1, 1, *SIZE, generator=torch.manual_seed(2))


def test_both_halves_are_the_whole(tower: DividedTower) -> None:
    with torch.no_grad():
        whole = tower(volume())
        late = tower.from_grid(tower.to_grid(volume()))
    assert late
    for one, other in zip(late, whole[-len(late) :], strict=True):
        assert (one - other).abs().max() <= 1e-6 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("name", [name for name in TOWERS if "inference" not in name])
def test_a_cell_looks_where_its_lag_says(name: str) -> None:
    tower = evenly_weighted(deepcopy(TOWERS[name]))
    seen = volume().requires_grad_()
    grid = tower.to_grid(seen)
    cells = torch.tensor(grid.shape[1:4])
    size = torch.tensor(SIZE) / cells
    cell = cells // 2
    (gradient,) = torch.autograd.grad(grid[0, *cell].square().sum(), seen)
    strength = gradient[0, 0].abs()
    expected = (cell + 0.5 - torch.tensor(tower.lag)) * size - 0.5
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        profile = strength.sum(dim=others)
        middle = float((profile * torch.arange(SIZE[axis])).sum() / profile.sum())
        assert middle == pytest.approx(float(expected[axis]), abs=0.05 * float(size[axis]))


def evenly_weighted(tower: nn.Module) -> nn.Module:
    """Let all voxels that a cell reads count alike: then their middle is where it looks."""
    for module in list(tower.modules()):
        if isinstance(module, nn.Conv3d):
            nn.init.ones_(module.weight)
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool3d):
                setattr(module, name, nn.AvgPool3d(child.kernel_size, child.stride, child.padding))
    return tower


def test_the_inference_form_looks_where_the_trained_one_does() -> None:
    for name in ("DCFormer", "DCFormer, patches"):
        assert TOWERS[f"{name}, inference"].lag == TOWERS[name].lag


def test_a_codebook_lets_no_gradient_through_and_its_tower_names_nothing() -> None:
    assert not isinstance(CTViT, DividedTower)
    assert not hasattr(CTViT, "to_grid")
