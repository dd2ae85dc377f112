from dataclasses import replace

import pytest

from dicom_io.errors import RecipeError, UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from training.ablation.given import read_given, with_language_model
from training.data.store import open_store
from training.recipe.recipe import load_recipe


@pytest.fixture
def store(out):
    return open_store(out / "store")


@pytest.fixture
def pair(out):
    return out / "seed-1" / "pairs" / "dcformer-siglip" / "run" / "checkpoint"


def test_a_checkpoint_is_read_by_the_name_of_its_variant(store, pair):
    given = read_given([f"dcformer-clip={pair}"], store)
    assert given["dcformer-clip"].folder == pair


@pytest.mark.parametrize("text", ["dcformer-clip", "resnet={}", "DCFormer CLIP={}"])
def test_what_names_no_variant_is_refused_with_those_there_are(store, pair, text):
    with pytest.raises(RecipeError, match="not VARIANT=CHECKPOINT, once of vit3d-clip, "):
        read_given([text.format(pair)], store)


def test_a_variant_can_be_given_once(store, pair):
    with pytest.raises(RecipeError, match="once of"):
        read_given([f"vit3d-clip={pair}"] * 2, store)


def test_a_pair_is_no_model(store, pair, out):
    with pytest.raises(UnusableData, match=r"2xmlp: .* is a contrastive pair"):
        read_given([f"dcformer-siglip-2xmlp={pair}"], store)
    model = out / "seed-1" / "models" / "vit3d-siglip-2xmlp" / "finetune" / "checkpoint"
    with pytest.raises(UnusableData, match=r"clip: .* is no contrastive pair"):
        read_given([f"vit3d-clip={model}"], store)


def test_images_must_be_prepared_as_the_checkpoint_s_were(store, pair):
    store.header = replace(store.header, spec=PreprocessSpec(size=(8, 16, 16)))
    with pytest.raises(UnusableData, match=r"dcformer-clip: .* reads .* holds"):
        read_given([f"dcformer-clip={pair}"], store)


def test_a_given_language_model_is_not_taught():
    recipe = with_language_model(load_recipe("ablation"), "some/folder")
    assert recipe.language is None
    assert (recipe.llm.pretrained, recipe.llm.sizes) == ("some/folder", None)
    assert with_language_model(recipe, None) is recipe
