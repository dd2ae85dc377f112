import math
import re
from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import BaseModel

from dicom_io.errors import RecipeError
from engine.network.projector import PUBLISHED
from tests.repository import ROOT
from training.recipe.model import LanguageModelSizes
from training.recipe.recipe import Recipe, load_recipe

SMALL = """
name = "small"
preprocess = { size = [8, 16, 16] }

[contrastive]
steps = 2
global_batch = 4
micro_batch = 2
learning_rate = 1e-3
weight_decay = 0.1
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_the_paper_s_recipe_says_what_section_3_4_says():
    recipe = load_recipe("paper")
    stage = recipe.contrastive
    assert recipe.preprocess_spec.size == recipe.vision_config.input_size == (128, 256, 256)
    assert recipe.vision_config.blocks == (2, 3, 6, 2)
    assert (recipe.run.precision, recipe.run.zero) == ("bf16", 2)
    assert (stage.micro_batch, stage.global_batch) == (64, 64 * 8)
    assert (stage.learning_rate, stage.weight_decay, stage.epochs) == (1e-4, 0.1, 100)
    assert (stage.warm_up, stage.width, stage.loss) == (0.03, 768, "siglip")
    assert (stage.t_prime, stage.bias) == (pytest.approx(math.log(10)), -10)


@pytest.mark.parametrize("table", ["out_of_distribution", "novelty"])
def test_the_old_name_of_a_table_is_still_read(path, table):
    path.write_text(f"{SMALL}\n[{table}]\nimages = 4\n")
    found = load_recipe(path).out_of_distribution
    assert found is not None
    assert found.images == 4


def test_the_paper_s_stages_2_and_3_are_those_of_section_3_4():
    recipe = load_recipe("paper")
    second, third = recipe.projector, recipe.finetune
    for stage, batch, rate, epochs in ((second, 16, 1e-4, 3), (third, 8, 5e-5, 5)):
        assert (stage.micro_batch, stage.global_batch) == (batch, batch * 8)
        assert (stage.learning_rate, stage.weight_decay, stage.epochs) == (rate, 0, epochs)
        assert (stage.train, stage.batch_norm, stage.max_tokens) == (("projector",), "frozen", 512)
        assert len(stage.report_wordings) == 42
    assert set(third.data) - set(second.data) == {"yes_no"}
    assert (third.lora_rank, third.lora_alpha, third.lora_dropout) == (16, 32, 0.05)
    assert recipe.projector_config(3584) == PUBLISHED
    assert recipe.llm.splice == "clean"


def test_the_authors_stages_train_more_and_move_batch_norm():
    recipe = load_recipe("authors")
    assert recipe.projector.train == ("projector", "embeddings")
    assert recipe.projector.forget == ("embeddings",)
    assert set(recipe.finetune.train) == {"projector", "vision tower", "embeddings", "head"}
    for stage in (recipe.projector, recipe.finetune):
        assert (stage.batch_norm, stage.augment) == ("training", True)
    assert recipe.llm.splice == "published"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (["run.zero=3"], "finetune.quantization and run.zero = 3 do not go together"),
        (["finetune.features=f", "finetune.augment=true"], "features: the vision tower changes"),
        (["finetune.report_questions=[]"], "at least 1 item"),
        (["finetune.data=['captions']"], "finetune.data.0: "),
    ],
)
def test_keys_of_stage_3_that_contradict_each_other_are_refused(changes, why):
    with pytest.raises(RecipeError, match=why):
        load_recipe("site", changes)


def test_the_authors_recipe_has_their_start_of_siglip_and_their_augmentation():
    stage = load_recipe("authors").contrastive
    assert (stage.t_prime, stage.bias) == (pytest.approx(math.log(1 / 0.07)), 0)
    assert stage.augment


def test_no_other_recipe_turns_or_flips_images():
    assert not any(load_recipe(name).contrastive.augment for name in ("paper", "site"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("learning_rate", "lerning_rate", r"contrastive\.lerning_rate: unknown key"),
        ("steps = 2", "", "contrastive: Value error, give either epochs or steps"),
        ("steps = 2", "steps = 2\nepochs = 1", "give either epochs or steps"),
        ("micro_batch = 2", "micro_batch = 0", r"contrastive\.micro_batch: .*greater than 0"),
        ("size", "sise", "preprocess: .*unknown preprocessing keys: sise"),
        ('name = "small"', "name = small", "Invalid value"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_file_and_key(path, old, new, why):
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(RecipeError, match=rf"small\.toml: .*{why}") as refusal:
        load_recipe(path)
    assert "\n" not in str(refusal.value)


def keys(table: type[BaseModel]) -> Iterator[str]:
    """Every key of a table and of the tables in it."""
    for name, field in table.model_fields.items():
        yield name
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part)


def test_every_key_stands_in_the_training_page():
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    named = set(re.findall(r"[a-z0-9_]+", page))
    # sizes of the untrained language model, which are Qwen2's own
    sizes = set(LanguageModelSizes.model_fields) | {"sizes"}
    assert sorted(set(keys(Recipe)) - named - sizes) == []


def test_a_key_is_set_on_the_command_line(path):
    recipe = load_recipe(path, ["contrastive.micro_batch=4", "vision.variant=tiny", "seed=7"])
    assert (recipe.contrastive.micro_batch, recipe.vision.variant, recipe.seed) == (4, "tiny", 7)


@pytest.mark.parametrize("change", ["contrastive", "name.x=1"])
def test_a_change_that_is_none_is_refused(path, change):
    with pytest.raises(RecipeError, match=f"--set {change}"):
        load_recipe(path, [change])


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(RecipeError, match=r"neither a file nor one of .*authors, .*paper"):
        load_recipe("papr")


def test_a_loss_of_where_goes_with_statements_and_without_flips():
    assert load_recipe("phantom", ["contrastive.dense=true"]).contrastive.dense
    for change in ("contrastive.statements=false", "contrastive.augment=true"):
        with pytest.raises(RecipeError, match="dense goes with statements"):
            load_recipe("phantom", ["contrastive.dense=true", change])
