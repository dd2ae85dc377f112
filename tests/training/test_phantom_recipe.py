"""The recipe of the embedded model from end to end, in miniature."""

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from dicom_io.errors import EngineError, UnusableData
from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS
from engine import EMBEDDED, load_engine
from engine.checkpoints.checkpoint import describe, load_checkpoint, load_pair
from engine.protocol import Sampling
from plugin.cli import main
from training.data.store import open_store
from training.export.calibrate import open_held_out
from training.export.out_of_distribution import keep_distribution
from training.learner.material import Material
from training.recipe.recipe import Recipe, load_recipe
from training.wording.vocabulary import DETAILED_FOLDER, FOLDER, phantom_tokenizer

SMALL = (
    "preprocess.size=[16, 32, 32]",
    "vision.channels=[4, 4, 8, 12, 16]",
    "text_encoder.sizes={dim=16, hidden_dim=32, n_layers=1, n_heads=2, dropout=0.0, "
    "attention_dropout=0.0}",
    "llm.sizes={hidden_size=32, intermediate_size=64, num_hidden_layers=2, "
    "num_attention_heads=2, num_key_value_heads=1}",
    "mixer={low=[24, 32], high=[4, 8]}",
    "out_of_distribution.images=4",
    "run.workers=0",
    "run.validation_items=2",
    *(
        f"{stage}.{key}={value}"
        for stage in ("contrastive", "language", "projector", "finetune")
        for key, value in {"steps": 3, "global_batch": 4, "micro_batch": 4}.items()
    ),
)
PARTS = {"train": "1:7", "validation": "11:14", "test": "21:24"}


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def stage(name: str, store: Path, out: Path, *more: object) -> Path:
    changes = [option for change in SMALL for option in ("--set", change)]
    data = ("--data", store, "--out", out / name)
    run("train", name, "--recipe", "phantom", *data, *changes, *more)
    return out / name / "checkpoint"


def train(store: Path, out: Path) -> dict[str, Path]:
    """The commands of docs/training.md."""
    made = {name: stage(name, store, out) for name in ("contrastive", "language")}
    llm = ("--set", f"llm.pretrained={made['language']}")
    made["projector"] = stage("projector", store, out, "--model", made["contrastive"], *llm)
    made["finetune"] = stage("finetune", store, out, "--model", made["projector"])
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    recipe = folder / "small.toml"
    text = (FOLDER.parent / "phantom.toml").read_text("utf-8")
    recipe.write_text(text.replace("[64, 128, 128]", "[16, 32, 32]"))
    parts = [word for part, seeds in PARTS.items() for word in (f"--{part}", seeds)]
    run("prepare", "phantoms", folder / "store", "--recipe", recipe, *parts)
    return folder / "store"


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory) -> dict[str, Path]:
    return train(store, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def model(trained):
    return load_engine(str(trained["finetune"]))


def test_stage_1_leaves_a_pair_without_the_head_of_its_statements(trained):
    written = load_file(trained["contrastive"] / "model.safetensors")
    assert set(written) == set(load_pair(trained["contrastive"]).state_dict())


def test_what_comes_out_writes_reports_and_answers(model):
    volume = prepare(make_phantom(1).volume, model.preprocess)
    short = Sampling(max_new_tokens=4)
    assert len(model.report(volume, short).token_ids) <= 4
    answer = model.ask(volume, "is there ascites?", ["Yes", "No"], short)
    assert sum(choice.probability for choice in answer.choices) == pytest.approx(1)


def test_it_names_what_it_can_be_asked(model):
    volume = prepare(make_phantom(1).volume, model.preprocess)
    with pytest.raises(EngineError, match="Is there ascites"):
        model.ask(volume, "Is there a fracture?")


def test_it_says_what_it_is(model, trained):
    assert model.identity.demonstration
    assert model.identity.findings == FINDINGS
    assert [describe(trained[n]).prompt.closed for n in ("projector", "finetune")] == ["texts"] * 2


def test_without_unseen_images_nobody_knows_how_far_is_too_far(model, store, tmp_path):
    opened = open_store(store)
    split = {**opened.split("grouped"), "validation": []}
    network = load_checkpoint(EMBEDDED).model
    with pytest.raises(UnusableData, match="validation part"):
        keep_distribution(network, Material(opened, "grouped", split), 2, tmp_path)


def test_it_knows_its_training_distribution(model):
    noise = prepare(make_phantom(1).volume, model.preprocess)
    noise.pixels[:] = np.random.default_rng(0).random(noise.pixels.shape)
    assert model.report(noise).abstained


def test_the_same_recipe_gives_the_same_weights(trained, store, tmp_path):
    again = train(store, tmp_path)
    first, second = (load_file(m["finetune"] / "model.safetensors") for m in (trained, again))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_trained_checkpoint_is_evaluated_on_the_same_store(trained, store, tmp_path):
    data = ("--data", store, "--split", "grouped", "--limit", "4", "--resamples", "10", "--json")
    checkpoint = ("--model", trained["finetune"], "--decoding", "greedy")
    result = json.loads(run("eval", "vqa", *data, *checkpoint, "--out", tmp_path / "vqa"))
    assert result


@pytest.fixture
def own(trained, tmp_path) -> Path:
    """A copy that a command may write beside."""
    return Path(copytree(trained["finetune"], tmp_path / "own"))


def test_a_site_says_what_its_images_look_like(own, store):
    before = describe(own).digest
    parts = open_store(store).split("grouped")
    unseen = len(parts["validation"]) + len(parts["test"])
    said = run("calibrate", store, "--model", own, "--images", 5, "--only", "out-of-distribution")
    assert "fitted to 5 images" in said
    assert f"the farthest of {unseen} unseen ones" in said
    assert describe(own).digest != before  # and every file is vouched for
    known = load_checkpoint(own).distribution
    assert known is not None
    assert {"layout", "steps", "pixels", "stage0", "stage4"} <= set(known.gaussians)
    assert known.rounded() is not None


def test_a_site_says_what_confidence_is_worth(own, store):
    said = run("calibrate", store, "--model", own, "--only", "confidence", "--name", "six phantoms")
    fitted = load_checkpoint(own).calibration
    assert fitted is not None
    assert fitted.name == "six phantoms"
    for one in fitted.fitted:
        assert f"{one.finding}, {'there' if one.present else 'not there'}:" in said
    assert "no promise" in said
    assert "a promise needs 19 studies" in said


def test_what_another_split_holds_out_the_model_may_have_learnt(own, store):
    config = json.loads((own / "config.json").read_text("utf-8"))
    assert config["card"]["provenance"]["data"]["split"] == "grouped"
    with pytest.raises(UnusableData, match="use --split grouped"):
        open_held_out(load_checkpoint(own), store, "paper")


def test_a_trained_model_gets_what_its_evidence_starts_from(own):
    before = describe(own).digest
    run("train", "evidence", "--model", own, "--images", 2)
    assert describe(own).digest != before
    known = load_checkpoint(own).baselines
    assert known is not None
    assert {contrast.finding for contrast in known.contrasts} == set(FINDINGS)


@pytest.mark.parametrize(("kind", "folder"), [("plain", FOLDER), ("detailed", DETAILED_FOLDER)])
def test_the_vocabulary_is_that_of_its_phantoms(kind, folder):
    shipped = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    assert json.loads(phantom_tokenizer(kind).to_str()) == shipped


def test_it_lists_every_question_of_its_store_and_no_other(store):
    opened = open_store(store)
    asked = {q.question for part in PARTS for q in opened.questions("paper", part)}
    assert asked <= set(recipe().card.questions)


def test_its_test_phantoms_are_those_of_nothing_else():
    seeds = recipe().phantoms
    assert seeds.train[1] <= seeds.validation[0] < seeds.validation[1] <= seeds.test[0]


def recipe() -> Recipe:
    return load_recipe("phantom")
