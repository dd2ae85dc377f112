from __future__ import annotations

import time

import pytest
import torch

from engine.checkpoints.checkpoint import Checkpoint
from engine.judgement.evidence import (
    Wordings,
    attributed,
    divided_tower,
    evidence_map,
    in_body,
    margin,
    one_layer_at_a_time,
)
from engine.network.towers.inference_form import use_inference_form
from engine.network.towers.vit3d import NO_LAG
from tests.engine.conftest import SIZE

TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}


def asked(checkpoint: Checkpoint) -> Wordings:
    image = [0] * checkpoint.model.image_token_count
    return Wordings(torch.tensor([[*image, 3, 6]]), [4, 9], [[5, 4, 9], [7]])


def ends(checkpoint: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    tower = divided_tower(checkpoint.model)
    assert tower is not None
    with torch.no_grad():
        own = tower.to_grid(torch.rand(1, 1, *SIZE, generator=torch.manual_seed(3)))
    return torch.zeros_like(own), own


def test_a_tower_entered_at_stage_1_gives_what_it_gives_at_once(checkpoint: Checkpoint):
    volume = torch.rand(1, 1, *SIZE)
    for form in ("trained", "inference"):
        if form == "inference":
            use_inference_form(checkpoint.model)
        tower = divided_tower(checkpoint.model)
        assert tower is not None
        whole = checkpoint.model.encode_image(volume)
        for late, hidden in zip(tower.from_grid(tower.to_grid(volume)), whole[2:], strict=True):
            assert torch.allclose(late, hidden, **TOLERANCE)


def test_both_forms_of_the_tower_name_the_same_evidence(checkpoint: Checkpoint):
    trained = attributed(checkpoint.model, ends(checkpoint), asked(checkpoint))
    use_inference_form(checkpoint.model)
    inference = attributed(checkpoint.model, ends(checkpoint), asked(checkpoint))
    assert trained is not None
    assert inference is not None
    assert trained.shape == (SIZE[0] // 8, SIZE[1] // 8, SIZE[2] // 8)
    assert trained.abs().max() > 0
    assert torch.allclose(trained, inference, rtol=1e-2, atol=1e-3 * float(trained.abs().max()))


def test_one_layer_at_a_time_changes_no_gradient(checkpoint: Checkpoint):
    plain = attributed(checkpoint.model, ends(checkpoint), asked(checkpoint))
    with one_layer_at_a_time(checkpoint.model.llm_layers):
        kept = attributed(checkpoint.model, ends(checkpoint), asked(checkpoint))
    assert plain is not None
    assert kept is not None
    assert torch.allclose(plain, kept, **TOLERANCE)
    assert all("forward" not in vars(layer) for layer in checkpoint.model.llm_layers)


def test_the_margin_is_that_of_sentence_and_denials_one_by_one(checkpoint: Checkpoint):
    wordings, model = asked(checkpoint), checkpoint.model
    tokens = torch.rand(1, model.image_token_count, 16)

    def likelihood(option: list[int]) -> torch.Tensor:
        ids = torch.cat([wordings.before, torch.tensor([option])], dim=1)
        told = model(model.embed_prompt(ids, tokens))[0].log_softmax(dim=-1)
        first = wordings.before.shape[1] - 1
        return sum(told[first + i, token] for i, token in enumerate(option))

    with torch.no_grad():
        denied = torch.stack([likelihood(one) for one in wordings.denials]).logsumexp(dim=0)
        wanted = likelihood(wordings.sentence) - denied
        assert torch.allclose(margin(model, tokens, wordings), wanted, **TOLERANCE)


def test_the_gradients_add_up_to_the_margin(checkpoint: Checkpoint):
    """Completeness, Sundararajan 2017, proposition 1."""
    model, wordings = checkpoint.model, asked(checkpoint)
    baseline, own = ends(checkpoint)
    tower = divided_tower(model)
    assert tower is not None
    at = [
        margin(model, model.image_tokens(tower.from_grid(end)), wordings).item()
        for end in (baseline, own)
    ]
    cells = attributed(model, (baseline, own), wordings, steps=64)
    assert cells is not None
    assert cells.sum().item() == pytest.approx(at[1] - at[0], rel=0.05)


def test_what_speaks_against_a_sentence_is_no_evidence_of_it():
    cells = torch.full((3, 3, 3), -1.0)
    cells[1, 1, 1] = 27
    weights = evidence_map(cells, NO_LAG)
    assert torch.allclose(weights, torch.ones(3, 3, 3))
    assert torch.equal(evidence_map(-torch.ones(3, 3, 3), NO_LAG), torch.zeros(3, 3, 3))


def test_weights_move_to_where_cells_look():
    cells = torch.zeros(8, 4, 4)
    cells[3, 1, 1] = 27
    weights = evidence_map(cells, (0.25, 0.0, 0.0))[:, 1, 1]
    assert torch.allclose(weights, torch.tensor([0, 0.25, 1, 1, 0.75, 0, 0, 0]))


def test_nothing_is_begun_once_the_time_is_up(checkpoint: Checkpoint):
    until = time.monotonic()
    assert attributed(checkpoint.model, ends(checkpoint), asked(checkpoint), until=until) is None


def test_air_is_no_body():
    volume = torch.zeros(1, 1, 16, 16, 16)
    volume[..., :8] = 0.4
    assert in_body(volume, torch.zeros(1, 2, 2, 2, 5)).tolist() == [[[True, False]] * 2] * 2
