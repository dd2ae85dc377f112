import pytest

from dicom_io.errors import RecipeError
from training.recipe.recipe import load_recipe
from training.recipe.stages import Stage
from training.run.plan import Plan

STAGE = Stage(epochs=2, global_batch=8, micro_batch=2, learning_rate=1.0, weight_decay=0)


def test_a_global_batch_is_made_of_ranks_and_passes():
    assert [Plan(STAGE, 35, world).passes for world in (1, 2, 4)] == [4, 2, 1]


def test_epochs_are_counted_in_whole_batches():
    plan = Plan(STAGE, 35)
    assert (plan.steps_per_epoch, plan.steps) == (4, 8)


def test_the_paper_s_batch_is_one_pass_on_eight_gpus():
    assert Plan(load_recipe("paper").contrastive, 100_000, 8).passes == 1


@pytest.mark.parametrize(("items", "world"), [(35, 3), (35, 8), (7, 1)])
def test_a_batch_that_cannot_be_is_refused(items, world):
    with pytest.raises(RecipeError, match="global_batch of 8 is"):
        Plan(STAGE, items, world)


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_zero():
    stage = STAGE.model_copy(update={"epochs": None, "steps": 100, "warm_up": 0.03})
    rates = [Plan(stage, 100).learning_rate(step) for step in range(100)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 1e-3


def test_fewer_negatives_are_announced():
    assert Plan(STAGE, 35, 2).lines(apart=True)[-1].startswith("only the 4 items of one pass")
    assert len(Plan(STAGE, 35, 4).lines(apart=True)) == 2


def test_what_will_happen_is_said():
    first, second = Plan(STAGE, 35, 2).lines()
    assert first == "batch: 2 a rank × 2 ranks × 2 passes = 8"
    assert second == "steps: 35 items / 8 = 4 an epoch; 8 in all, 1 of them warm-up"
