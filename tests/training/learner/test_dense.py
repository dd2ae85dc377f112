import numpy as np
import pytest
import torch

from dicom_io.errors import RecipeError
from engine.network.towers.dcformer import DCFormer, DCFormerConfig
from engine.network.towers.vit3d import ViT3DConfig
from training.learner.dense import DenseHead

SIZE = (16, 64, 64)
CONFIG = DCFormerConfig(
    (1, 1, 1, 1), (8, 8, 16, 16, 16), stem="patch", layer_scale=0.3, input_size=SIZE
)
GRID = (2, 8, 8)


def lesions(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with one small lesion of the first finding in each image, none of the second."""
    rng = np.random.default_rng(0)
    volumes = torch.from_numpy(rng.normal(0, 0.1, (images, 1, *SIZE)).astype(np.float32))
    cells = torch.zeros(images, 2, *GRID)
    for image in range(images):
        d, h, w = (int(rng.integers(n)) for n in GRID)
        volumes[image, 0, 8 * d + 2 : 8 * d + 6, 8 * h + 2 : 8 * h + 6, 8 * w + 2 : 8 * w + 6] += 1
        cells[image, 0, d, h, w] = 1
    return volumes, cells


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return DCFormer(CONFIG), DenseHead(CONFIG, 2)


def test_every_stage_up_to_the_third_and_the_head_learn(trained):
    tower, head = trained
    volumes, cells = lesions(4)
    head(tower(volumes), cells).backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    without = [n for n, p in tower.named_parameters() if p.grad is None or not p.grad.any()]
    assert all("s4" in name for name in without)


def test_the_cell_of_a_lesion_is_found(trained):
    tower, head = trained
    volumes, cells = lesions(8)
    optimizer = torch.optim.AdamW([*tower.parameters(), *head.parameters()], lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = head(tower(volumes), cells)
        loss.backward()
        optimizer.step()
    named = head.maps[0](tower(volumes)[1])[..., 0]
    assert (named.argmax(1) == cells[:, 0].flatten(1).argmax(1)).float().mean() > 0.9
    assert loss.item() < 0.1


def test_a_small_lesion_weighs_as_much_as_all_that_is_around_it():
    head = DenseHead(CONFIG, 1)
    for named in head.maps:
        torch.nn.init.zeros_(named.weight)
        torch.nn.init.zeros_(named.bias)
    hidden = [torch.zeros(1, n, c) for n, c in CONFIG.shapes]
    one, many = torch.zeros(1, 1, *GRID), torch.zeros(1, 1, *GRID)
    one[0, 0, 0, 0, 0] = 1
    many[0, 0, 0, :4] = 1
    assert head(hidden, one).item() == pytest.approx(np.log(2))
    assert head(hidden, many).item() == pytest.approx(np.log(2))


def test_each_image_counts_for_itself(trained):
    tower, head = trained[0].eval(), trained[1]
    volumes, cells = lesions(4)
    hidden = tower(volumes)
    alone = [head([h[i : i + 1] for h in hidden], cells[i : i + 1]) for i in range(4)]
    assert torch.allclose(torch.stack(alone).mean(), head(hidden, cells))


def test_other_towers_are_refused():
    with pytest.raises(RecipeError, match="dense"):
        DenseHead(ViT3DConfig(), 2)
