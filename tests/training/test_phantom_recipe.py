from pathlib import Path

import pytest
from pydantic import ValidationError

from training.phantom_recipe import load_recipe

RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "phantom.toml"


def test_the_recipe_of_the_embedded_model_loads():
    recipe = load_recipe(RECIPE)
    assert recipe.preprocess_spec.size == recipe.vision_config.input_size


def test_a_misspelt_key_is_an_error(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.read_text().replace("lora_rank", "lora_rang"))
    with pytest.raises(ValidationError, match="lora_rang"):
        load_recipe(path)


def test_training_and_held_out_phantoms_are_different_ones():
    recipe = load_recipe(RECIPE)
    training, held_out = (range(*s) for s in (recipe.training_seeds, recipe.validation_seeds))
    assert not set(training) & set(held_out)
    assert max(held_out) < 900_000  # where the evaluation's seeds begin
