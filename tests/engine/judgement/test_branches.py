from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from engine.checkpoints.checkpoint import Checkpoint
from engine.judgement.branches import Branch, branch_likelihoods, can_branch

TEXT = [3, 4, 9, 6, 7, 9]
BRANCHES = [Branch(0, [5, 4, 9]), Branch(3, [6]), Branch(3, [6, 8, 9, 5]), Branch(6, [3, 9])]
"""At the beginning of the text, twice in its middle, and at its end."""


def embedded(checkpoint: Checkpoint, text: list[int]) -> torch.Tensor:
    model = checkpoint.model
    torch.manual_seed(0)
    tokens = torch.randn(1, model.image_token_count, model.llm_config.hidden_size)
    return model.embed_prompt(torch.tensor([[0] * model.image_token_count + [3, *text]]), tokens)


@torch.no_grad()
def test_one_pass_equals_a_pass_for_each(checkpoint: Checkpoint):
    model = checkpoint.model
    before = model.image_token_count + 1
    branches = [Branch(before + one.at, one.ids) for one in BRANCHES]
    together = branch_likelihoods(model, embedded(checkpoint, TEXT), branches)
    for likelihood, one in zip(together, BRANCHES, strict=True):
        told = model(embedded(checkpoint, TEXT[: one.at] + one.ids))[0].float().log_softmax(dim=-1)
        first = before + one.at - 1
        alone = sum(told[first + k, token] for k, token in enumerate(one.ids))
        assert float(likelihood) == pytest.approx(float(alone), abs=1e-5)


@torch.no_grad()
def test_a_branch_does_not_see_the_others(checkpoint: Checkpoint):
    trunk, before = embedded(checkpoint, TEXT), checkpoint.model.image_token_count + 1
    asked = Branch(before + 3, [6, 8, 9, 5])
    alone = branch_likelihoods(checkpoint.model, trunk, [asked])
    others = [Branch(before + 1, [5] * 7), asked, Branch(before + 3, [7, 7, 7])]
    assert float(branch_likelihoods(checkpoint.model, trunk, others)[1]) == pytest.approx(
        float(alone[0]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("layers", "can"),
    [(None, True), (["full_attention"], True), (["linear_attention", "full_attention"], False)],
)
def test_a_recurrent_layer_knows_no_tree(layers, can):
    model = SimpleNamespace(llm_config=SimpleNamespace(layer_types=layers))
    assert can_branch(model) == can
