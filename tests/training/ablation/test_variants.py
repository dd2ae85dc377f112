import pytest

from dicom_io.errors import RecipeError
from engine.network.towers.dcformer import DCFormerConfig
from engine.network.towers.vision import vision_tower
from engine.network.towers.vit3d import ViT3DConfig
from engine.sizes.cost import parameters
from training.ablation.variants import (
    COMPONENTS,
    FULL,
    PROJECTORS,
    SIGLIP,
    TABLES,
    Model,
    Pair,
    models_of,
    pairs_of,
    slugs,
)
from training.evaluation.printed import published
from training.recipe.recipe import load_recipe


def test_the_full_model_is_the_base_recipe():
    base = load_recipe("ablation")
    assert FULL.recipe(base) == base


def test_a_pair_changes_tower_and_loss_and_nothing_else():
    base = load_recipe("ablation")
    changed = Pair("ViT3D", "clip").recipe(base)
    assert isinstance(changed.vision_config, ViT3DConfig)
    assert changed.contrastive.loss == "clip"
    back = changed.model_copy(update={"vision": base.vision, "contrastive": base.contrastive})
    assert back == base


def test_both_towers_have_about_as_many_parameters():
    base = load_recipe("ablation")
    dcformer = base.vision_config
    vit3d = Pair("ViT3D", "siglip").recipe(base).vision_config
    assert isinstance(dcformer, DCFormerConfig)
    sizes = [parameters(vision_tower(config)) for config in (dcformer, vit3d)]
    assert max(sizes) < 1.25 * min(sizes)


def test_one_mixer_layer_goes_to_the_last_number_of_tokens():
    recipe = Model(SIGLIP, "1xMLP-Mixer-H").recipe(load_recipe("ablation"))
    assert recipe.projector_config(8).image_tokens == 24
    assert len(recipe.mixer.low) == 1


def test_what_several_tables_need_is_trained_once():
    assert len(models_of(TABLES)) == 4 + 4  # the full model also behind the shared tower
    assert len(slugs()) == 4 + 6
    assert len(pairs_of(TABLES)) == 4
    assert pairs_of((9,)) == [SIGLIP]


def test_rows_are_those_of_the_paper():
    methods = [row[0] for row in published.printed(9)["rows"]]
    assert [row.cells[0] for row in PROJECTORS] == methods
    assert COMPONENTS[-1].cells == tuple(published.printed(5)["rows"][-1][:3])


def test_projectors_differ_in_nothing_else():
    assert {row.model.pair for row in PROJECTORS} == {SIGLIP}
    assert all(row.model.shared for row in PROJECTORS)


def test_statements_stand_beside_both_losses_and_equal_pairs_are_masked():
    for pair in pairs_of(TABLES):
        stage = pair.recipe(load_recipe("ablation")).contrastive
        assert stage.statements
        assert stage.mask_equal


@pytest.mark.parametrize("name", ["paper", "authors", "phantom", "detailed"])
def test_other_recipes_have_the_loss_of_the_paper(name):
    assert not load_recipe(name).contrastive.mask_equal


def test_a_recipe_without_the_other_tower_is_refused():
    base = load_recipe("ablation")
    bare = base.ablation.model_copy(update={"vit3d": None})
    with pytest.raises(RecipeError, match=r"recipe ablation has no table ablation\.vit3d"):
        Pair("ViT3D", "clip").recipe(base.model_copy(update={"ablation": bare}))


def test_a_recipe_without_the_table_is_refused():
    with pytest.raises(RecipeError, match="recipe phantom has no table ablation"):
        Pair("ViT3D", "clip").recipe(load_recipe("phantom"))
