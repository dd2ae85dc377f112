from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from training.ablation.jobs import once, seconds_left
from training.ablation.matrix import Matrix
from training.ablation.variants import FULL, PAIRS, PROJECTORS, RETRIEVAL, SIGLIP, TABLES
from training.learner.material import open_material
from training.recipe.recipe import load_recipe

from .conftest import METRICS


@pytest.fixture
def matrix_of(tiny, out):
    """Makes the matrix of a seed."""
    material = open_material(tiny, out / "store")
    return lambda seed, given=None: Matrix(tiny, material, out, seed, METRICS, given or {})


def names(jobs):
    return [job.name for job in once(jobs)]


def test_the_whole_default_run_is_meant_for_ten_hours():
    recipe = load_recipe("ablation")
    test = range(*recipe.phantoms.test)
    material = SimpleNamespace(parts={"test": test})
    seeds = (1, 2, 3)
    jobs = once(
        job
        for seed in seeds
        for job in Matrix(recipe, material, Path("nowhere"), seed, METRICS).jobs(TABLES)
    )
    expected = recipe.ablation.seconds
    assert {job.kind for job in jobs} == expected.keys()
    assert 5 * 3600 < seconds_left(jobs, expected) < 10 * 3600


def test_the_tables_with_least_to_train_come_first(matrix_of):
    kinds = [job.kind for job in once(matrix_of(1).jobs((5, 8, 9)))]
    assert kinds[0] == "stage 1 of DCFormer"
    first_retrieval = kinds.index("retrieval")
    assert kinds[:first_retrieval].count("reports") == 6
    assert kinds[-1] == "retrieval"
    assert kinds[: kinds.index("stage 1 of ViT3D")].count("reports") >= 4


def test_seeds_share_one_tower_behind_the_projectors(matrix_of):
    first, second = (names(matrix_of(seed).jobs((9, 10, 11))) for seed in (1, 2))
    assert first[0] == second[0] == "stage 1 of DCFormer SigLIP, seed-1"
    assert [name for name in second if name.startswith("stage 1")] == second[:1]
    assert "stage 2 of DCFormer SigLIP 2xMLP, seed-2, shared tower" in second


def test_a_tower_of_the_seed_s_own_stands_behind_the_components(matrix_of):
    second = names(matrix_of(2).jobs((5,)))
    assert sum(name.startswith("stage 1") and "seed-2" in name for name in second) == 3


def test_with_the_recipe_s_seed_both_are_the_same(matrix_of, tiny):
    shared = PROJECTORS[-1].model
    assert shared != FULL
    assert tiny.seed == 1
    assert matrix_of(1).folder_of(shared) == matrix_of(1).folder_of(FULL)
    assert matrix_of(2).folder_of(shared) != matrix_of(2).folder_of(FULL)


def test_a_given_pair_is_not_trained_and_a_given_model_only_tested(matrix_of):
    given = {SIGLIP.slug: object(), FULL.slug: object()}
    jobs = names(matrix_of(2, given).jobs((5, 9, RETRIEVAL)))
    assert f"stage 1 of {SIGLIP.name}, seed-1" not in jobs
    assert [name for name in jobs if FULL.name in name] == [
        f"reports of {FULL.name}",
        f"questions of {FULL.name}",
    ]
    assert sum(name.startswith("retrieval") for name in jobs) == len(PAIRS)


def test_a_recipe_without_a_language_stage_takes_its_language_model_as_it_is(matrix_of, tiny):
    matrix = replace(matrix_of(1), recipe=tiny.model_copy(update={"language": None}))
    assert "language" not in [job.kind for job in matrix.jobs((9,))]
