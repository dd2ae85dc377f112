import json
from dataclasses import replace

import pytest
import torch

from dicom_io.errors import CheckpointMismatch, RecipeError
from engine.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from engine.checkpoints.weights import read_tensors
from engine.network.families.med3dvlm import Med3DVLMConfig
from tests.training import tiny
from training.learner.begin import starting_checkpoint
from training.learner.language_model import read_language_model


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return tiny.write_llm(tmp_path_factory.mktemp("llm") / "qwen")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return tiny.write_pair(tmp_path_factory.mktemp("pair") / "pair")


def begin(llm, start, dtype=torch.float32):
    return starting_checkpoint(tiny.recipe(llm), str(start), dtype)


def test_stage_2_joins_a_vision_tower_and_a_language_model(llm, pair):
    begun = begin(llm, pair)
    tensors, state = read_tensors([llm / "model.safetensors"]), begun.model.state_dict()
    tower = read_tensors([pair / "model.safetensors"])
    for name in ("model.layers.1.mlp.up_proj.weight", "model.norm.weight"):
        assert torch.equal(state[name], tensors[name])
    assert torch.equal(
        state["model.vision_tower.vision_tower.encoder.s3.0.proj.weight"],
        tower["vision_encoder.encoder.s3.0.proj.weight"],
    )
    assert begun.model.config.splice == "clean"
    assert begun.preprocess == tiny.SPEC


def test_the_placeholder_is_a_new_token_that_begins_as_the_mean_and_padding_goes(llm, pair):
    language = read_language_model(tiny.recipe(llm))
    words = tiny.tokenizer().get_vocab_size()
    assert language.config.vocab_size == words  # the tiny tokenizer has it already
    assert len(language.tensors["model.embed_tokens.weight"]) == words

    plain = json.loads((llm / "tokenizer.json").read_text().replace("<im_patch>", "<other>"))
    (llm / "tokenizer.json").write_text(json.dumps(plain))
    try:
        language = read_language_model(tiny.recipe(llm))
    finally:
        tiny.tokenizer().save(str(llm / "tokenizer.json"))
    rows = language.tensors["model.embed_tokens.weight"]
    assert language.tokenizer.token_to_id("<im_patch>") == words
    assert torch.allclose(rows[words], rows[:words].mean(dim=0), atol=1e-6)


def test_the_seed_decides_the_projector(llm, pair):
    first, again = (begin(llm, pair).model.state_dict() for _ in range(2))
    name = "model.mm_projector.low_mixer.0.mlp1.mm_projector.0.weight"
    assert torch.equal(first[name], again[name])


def test_the_language_model_is_loaded_in_the_type_of_the_run_and_the_rest_in_float32(llm, pair):
    parts = {}
    for name, parameter in begin(llm, pair, torch.bfloat16).model.named_parameters():
        parts.setdefault(name.split(".")[1], set()).add(parameter.dtype)
    assert parts["layers"] == {torch.bfloat16}
    assert parts["vision_tower"] == parts["mm_projector"] == {torch.float32}


def test_sizes_in_the_recipe_make_a_language_model_where_the_folder_has_words_only(
    llm, pair, tmp_path
):
    (tmp_path / "tokenizer.json").write_bytes((llm / "tokenizer.json").read_bytes())
    sizes = {**tiny.QWEN, "hidden_size": 16}
    table = tiny.recipe(llm).llm.model_validate({"pretrained": str(tmp_path), "sizes": sizes})
    recipe = tiny.recipe(llm).model_copy(update={"llm": table})
    begun = starting_checkpoint(recipe, str(pair), torch.float32)
    assert begun.model.config.llm.hidden_size == 16
    assert begin(llm, pair).model.config.llm.hidden_size == 32


def test_the_recipe_may_ask_for_the_authors_splice(llm, pair):
    recipe = tiny.recipe(llm)
    table = recipe.llm.model_copy(update={"splice": "published"})
    begun = starting_checkpoint(recipe.model_copy(update={"llm": table}), str(pair), torch.float32)
    assert begun.model.config.splice == "published"


def test_a_model_that_writes_goes_on_with_its_own_splice(llm, pair, tmp_path):
    begun = begin(llm, pair)
    network = begun.model
    assert isinstance(network.config, Med3DVLMConfig)
    network.config = replace(network.config, splice="published")
    save_checkpoint(begun, tmp_path / "published")
    assert begin(llm, tmp_path / "published").model.config.splice == "published"


def test_its_projector_keeps_every_bit(llm, pair, tmp_path):
    begun = begin(llm, pair)
    save_checkpoint(begun, tmp_path / "c")
    again = begin(llm, tmp_path / "c", torch.bfloat16).model.state_dict()
    name = "model.mm_projector.high_mixer.1.mlp2.mm_projector.0.weight"
    assert torch.equal(again[name], begun.model.state_dict()[name])
    assert load_checkpoint(tmp_path / "c").prompt.eos_token == "<eos>"


def test_another_preprocessing_than_the_recipes_is_named(llm, pair):
    recipe = tiny.recipe(llm)
    recipe = recipe.model_copy(update={"preprocess": {**recipe.preprocess, "scaling": "fixed"}})
    with pytest.raises(RecipeError, match=r"has preprocess .*minmax.*; the recipe has .*fixed"):
        starting_checkpoint(recipe, str(pair), torch.float32)


def test_another_vision_tower_than_the_recipes_is_named(llm, pair):
    recipe = tiny.recipe(llm)
    vision = recipe.vision.model_copy(update={"channels": (4, 4, 8, 12, 20)})
    with pytest.raises(RecipeError, match="has vision"):
        starting_checkpoint(recipe.model_copy(update={"vision": vision}), str(pair), torch.float32)


def test_a_language_model_of_another_kind_is_refused(llm, pair, tmp_path):
    other = tmp_path / "llama"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    (other / "tokenizer.json").write_bytes((llm / "tokenizer.json").read_bytes())
    with pytest.raises(CheckpointMismatch, match="model_type 'llama', not qwen2"):
        read_language_model(tiny.recipe(other))


def test_a_recipe_without_a_language_model_says_so(llm, pair):
    recipe = tiny.recipe(llm).model_copy(update={"llm": None})
    with pytest.raises(RecipeError, match="no table llm"):
        starting_checkpoint(recipe, str(pair), torch.float32)
