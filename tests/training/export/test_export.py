import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from dicom_io.errors import CheckpointMismatch
from engine import load_engine
from engine.checkpoints.checkpoint import describe, load_checkpoint, save_checkpoint
from engine.checkpoints.folder import verify
from engine.checkpoints.layouts.vlm_qwen import REPORT_QUESTION
from engine.protocol import Sampling
from plugin.cli import main
from tests.engine.conftest import input_for
from tests.engine.published import published_model, write_settings
from tests.training import tiny
from training.export.export import export, put_weights
from training.learner.begin import begin
from training.recipe.recipe import load_recipe
from training.run import states
from training.run.states import latest, trained_weights


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parts")
    return {
        "store": tiny.write_store(folder / "store").folder,
        "llm": tiny.write_llm(folder / "llm"),
        "pair": tiny.write_pair(folder / "pair"),
    }


def train(stage: str, parts: dict[str, Path], out: Path, start: Path, *changes: str) -> Result:
    recipe = tiny.write_recipe(out.with_suffix(".toml"), parts["llm"])
    arguments = ["--recipe", str(recipe), "--data", str(parts["store"]), "--out", str(out)]
    arguments += ["--model", str(start), "--split", "grouped"]
    arguments += [word for change in changes for word in ("--set", change)]
    return CliRunner().invoke(main, ["train", stage, *arguments])


@pytest.fixture(scope="module")
def stage_2(tmp_path_factory, parts) -> Path:
    out = tmp_path_factory.mktemp("runs") / "projector"
    result = train("projector", parts, out, parts["pair"])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def stage_3(tmp_path_factory, parts, stage_2) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finetune"
    result = train("finetune", parts, out, stage_2 / "checkpoint")
    assert result.exit_code == 0, result.output
    return out


def test_the_engine_loads_what_either_stage_leaves_and_writes_with_it(stage_2, stage_3):
    for run in (stage_2, stage_3):
        engine = load_engine(run / "checkpoint", device="cpu")
        generation = engine.report(input_for(tiny.SPEC), Sampling(4))
        assert generation.identity.digest == describe(run / "checkpoint").digest
        assert generation.finish_reason in ("eos", "length")


def test_every_file_but_the_card_is_vouched_for(stage_3):
    assert verify(stage_3 / "checkpoint") == describe(stage_3 / "checkpoint").digest


def test_prompt_and_preprocessing_come_with_it(stage_3):
    found = describe(stage_3 / "checkpoint")
    assert found.preprocess == tiny.SPEC
    assert found.prompt.report == "Describe the findings."
    assert found.prompt.answers_questions


@torch.no_grad()
def test_merged_weights_write_what_the_adapters_wrote(stage_2, stage_3, parts):
    begun = begin(tiny.recipe(parts["llm"]), "finetune", str(stage_2 / "checkpoint"))
    _, weights = trained_weights(stage_3 / "states" / "finetune")
    put_weights(begun.module, weights)
    with_adapters = begun.module.model.eval()
    merged = load_checkpoint(stage_3 / "checkpoint").model
    embeddings = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(1))
    expected = with_adapters(embeddings)
    assert torch.allclose(merged(embeddings), expected, rtol=1e-4, atol=1e-5)
    name = "model.layers.0.mlp.up_proj.weight"
    before = describe(stage_2 / "checkpoint").tensors()[name]
    assert not torch.equal(merged.get_parameter(name), before)


def test_what_was_frozen_has_every_bit_it_had(stage_2, stage_3, parts):
    before, between, after = (
        describe(folder).tensors()
        for folder in (parts["pair"], stage_2 / "checkpoint", stage_3 / "checkpoint")
    )
    tower = "model.vision_tower.vision_tower."
    for name, tensor in after.items():
        if name.startswith(tower):
            assert torch.equal(tensor, before[f"vision_encoder.{name.removeprefix(tower)}"])
        if name in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"):
            assert torch.equal(tensor, between[name])


def test_the_card_says_data_recipe_figures_and_limits(stage_3):
    card = (stage_3 / "checkpoint" / "README.md").read_text("utf-8")
    said = describe(stage_3 / "checkpoint").card.provenance
    for part in ("## Data", "## Figures", "## Limits", "## Recipe", "## Data"):
        assert part in card
    assert said["data"]["digest"] in card
    assert f"| loss | {said['validation']['loss']:.4f} |" in card
    assert "radiologist" in card
    assert "48" in card
    assert said["recipe"]["finetune"]["lora_rank"] == 2


def test_phantoms_make_a_demonstration(stage_3):
    assert describe(stage_3 / "checkpoint").card.demonstration
    assert "synthetic" in (stage_3 / "checkpoint" / "README.md").read_text("utf-8")


def test_the_last_state_of_a_killed_run_is_exported(stage_3, tmp_path):
    card = describe(stage_3 / "checkpoint").card
    before = describe(stage_3 / "checkpoint").tensors()
    for path in (stage_3 / "checkpoint").iterdir():
        path.unlink()
    result = CliRunner().invoke(main, ["train", "export", str(stage_3)])
    assert result.exit_code == 0, result.output
    after = describe(stage_3 / "checkpoint").tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    again = describe(stage_3 / "checkpoint").card
    assert again.provenance["step"] == 4
    assert again.provenance["validation"] == card.provenance["validation"] != {}


def test_figures_of_another_step_are_not_those_of_a_state(tmp_path):
    assert states.figures_at(tmp_path, 4) == {}
    states.keep_figures(tmp_path, 4, {"loss": 0.5})
    assert states.figures_at(tmp_path, 4) == {"loss": 0.5}
    assert states.figures_at(tmp_path, 6) == {}


def test_a_folder_without_a_state_is_no_run(tmp_path):
    result = CliRunner().invoke(main, ["train", "export", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds no state of projector or finetune" in result.stderr


def test_a_start_that_has_changed_since_is_refused(stage_2, stage_3, tmp_path):
    path = stage_3 / "states" / "finetune" / "run.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "digest": "0" * 64}))
    try:
        result = CliRunner().invoke(main, ["train", "export", str(stage_3)])
    finally:
        path.write_text(json.dumps(said))
    assert result.exit_code == 1
    assert "is not what the run began with any more" in result.stderr


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda tensors, name: tensors.pop(name), "missing: "),
        (lambda tensors, name: tensors.update({name: torch.empty(0)}), "empty: "),
        (lambda tensors, name: tensors.update({name: torch.empty(1)}), "mis-shaped: "),
        (lambda tensors, name: tensors.update({"other": torch.empty(1)}), "unexpected: other"),
    ],
)
def test_weights_that_do_not_fit_are_named(stage_2, stage_3, parts, spoil, why):
    module = begin(tiny.recipe(parts["llm"]), "finetune", str(stage_2 / "checkpoint")).module
    _, weights = trained_weights(stage_3 / "states" / "finetune")
    spoil(weights, next(name for name in weights if "lora_A" in name))
    with pytest.raises(CheckpointMismatch, match=why):
        put_weights(module, weights)


def test_a_state_holds_nothing_that_is_frozen(stage_3):
    _, state = latest(stage_3 / "states" / "finetune")
    _, weights = trained_weights(stage_3 / "states" / "finetune")
    frozen = [n for n in weights if "running_" not in n and "num_batches" not in n]
    assert all("lora_" in name or "mm_projector" in name for name in frozen)
    assert state.name == "step-00000004"


def test_what_the_authors_forget_is_as_it_was(parts, tmp_path):
    """Their stage 3 begins without the embeddings that their stage 2 trained."""
    out = tmp_path / "run"
    changes = ('projector.train=["projector", "embeddings"]', 'projector.forget=["embeddings"]')
    result = train("projector", parts, out, parts["pair"], *changes)
    assert result.exit_code == 0, result.output
    _, weights = trained_weights(out / "states" / "projector")
    exported = describe(out / "checkpoint").tensors()
    name = "model.embed_tokens.weight"
    start = begin(tiny.recipe(parts["llm"]), "projector", str(parts["pair"])).checkpoint
    assert torch.equal(exported[name], start.model.state_dict()[name])
    assert not torch.equal(exported[name], weights[f"model.{name}"])


def test_a_quantized_run_exports_full_weights_that_write_what_it_wrote(parts, stage_2, tmp_path):
    out = tmp_path / "run"
    result = train("finetune", parts, out, stage_2 / "checkpoint", "finetune.quantization=nf4")
    assert result.exit_code == 0, result.output
    recipe = tiny.recipe(parts["llm"])
    table = recipe.finetune.model_copy(update={"quantization": "nf4"})
    recipe = recipe.model_copy(update={"finetune": table})
    begun = begin(recipe, "finetune", str(stage_2 / "checkpoint"))
    put_weights(begun.module, trained_weights(out / "states" / "finetune")[1])
    embeddings = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = begun.module.model.eval()(embeddings)
        merged = load_checkpoint(out / "checkpoint").model(embeddings)
    assert (merged - expected).norm() / expected.norm() < 1e-4
    assert "nf4 left" in (out / "checkpoint" / "README.md").read_text("utf-8")


def test_a_published_splice_stays(parts, stage_2, tmp_path):
    loaded = load_checkpoint(stage_2 / "checkpoint")
    loaded.model.config = replace(loaded.model.config, splice="published")
    save_checkpoint(loaded, tmp_path / "published")
    result = train("finetune", parts, tmp_path / "run", tmp_path / "published")
    assert result.exit_code == 0, result.output
    assert describe(tmp_path / "run" / "checkpoint").network.splice == "published"


def test_the_site_recipe_goes_on_from_the_published_layout_as_it_is(tmp_path):
    folder = write_settings(tmp_path / "published")
    save_file(published_model().state_dict(), folder / "model.safetensors")
    recipe = load_recipe("site", ["run.precision=fp32", "finetune.quantization=none"])
    begun = begin(recipe, "finetune", str(folder))
    learnt = {n: p.detach() for n, p in begun.module.named_parameters() if p.requires_grad}
    about = {
        "from": str(folder),
        "digest": begun.checkpoint.digest,
        "data": {"source": "site", "digest": "0", "split": "grouped", "images": {"train": 1}},
    }
    found = describe(export(recipe, "finetune", learnt, tmp_path / "run", about, {}))
    assert found.network.splice == "published"
    assert found.prompt.report == REPORT_QUESTION
    assert found.prompt.eos_token == "<|im_end|>"
    assert not found.card.demonstration
    before, after = describe(folder).tensors(), found.tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_without_a_beginning_the_command_is_wrong(parts, tmp_path):
    recipe = tiny.write_recipe(tmp_path / "tiny.toml", parts["llm"])
    arguments = ["--recipe", str(recipe), "--data", str(parts["store"]), "--out", str(tmp_path)]
    result = CliRunner().invoke(main, ["train", "finetune", "--split", "grouped", *arguments])
    assert result.exit_code == 2
    assert "--model is needed" in result.stderr
