import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import training
from dicom_io.errors import RecipeError, UnusableData
from training.ablation.run import run_ablation
from training.ablation.variants import TABLES as ALL
from training.commands.ablation import TABLE_NUMBERS
from training.commands.evaluate import evaluate
from training.recipe.recipe import load_recipe

from .conftest import CHANGES, METRICS, TABLES


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("seed-*/**/*") if path.is_file()}


def test_an_ablation_leaves_every_table_and_the_comparisons(out):
    results = json.loads((out / "results.json").read_text())
    names = [table["name"] for table in results["tables"]]
    assert names == ["towers", "table5", "table8", "findings", "comparisons"]
    assert all((out / f"{name}.{kind}").exists() for name in names for kind in ("md", "csv"))


def test_it_says_what_decided_the_figures_and_how_long_each_job_took(out):
    results = json.loads((out / "results.json").read_text())
    assert results["seeds"] == [1]
    assert results["recipe"]["name"] == "ablation"
    assert len(results["seconds"]) == 4 * 2 + 1 + 4 * 4
    assert results["processor_seconds"].keys() == results["seconds"].keys()
    assert all(seconds >= 0 for seconds in results["seconds"].values())


def test_no_path_of_this_machine_is_among_the_results(out):
    assert str(Path(training.__file__).parent) not in (out / "results.json").read_text()


def test_each_comparison_stands_below_its_table(out):
    text = (out / "table8.md").read_text()
    assert text.count("Paper: DCFormer SigLIP above DCFormer CLIP") == 2
    assert text.count("Here: ") == 8


def test_vision_features_are_computed_once_for_each_tower(out):
    assert len(list((out / "features").iterdir())) == 3


def test_a_finished_ablation_is_laid_out_again_and_nothing_is_trained(tiny, out, capsys):
    before = state(out)
    run_ablation(tiny, out, METRICS, tables=TABLES)
    assert state(out) == before
    assert "of" not in capsys.readouterr().err


def test_another_table_of_the_same_variants_needs_no_training(tiny, out):
    before = state(out)
    results = run_ablation(tiny, out, METRICS, tables=(7,))
    assert state(out) == before
    assert [table["name"] for table in results["tables"]][1] == "table7"


def test_another_recipe_refuses_the_old_folder(out):
    other = load_recipe("ablation", [*CHANGES, "contrastive.learning_rate=0.5"])
    with pytest.raises(UnusableData, match=r"recipe.contrastive.learning_rate \d.\d+, not 0.5:"):
        run_ablation(other, out, METRICS, tables=TABLES)


def models_in(out):
    """The trained models of the ablation, as they are given to another."""
    return [
        f"{folder.name}={folder / 'finetune' / 'checkpoint'}"
        for folder in sorted((out / "seed-1" / "models").iterdir())
    ]


def test_given_models_are_scored_and_nothing_is_trained(tiny, out, tmp_path):
    bare = tiny.model_copy(
        update={
            "language": None,
            "projector": None,
            "finetune": None,
            "contrastive": None,
            "ablation": tiny.ablation.model_copy(update={"vit3d": None}),
        }
    )
    given = models_in(out)
    results = run_ablation(
        bare, tmp_path, METRICS, data=out / "store", tables=(5, 7), seeds=(1, 2), given=given
    )
    assert not list(tmp_path.glob("seed-*"))
    assert not list(tmp_path.glob("**/*.safetensors"))
    assert results["given"].keys() == {one.partition("=")[0] for one in given}
    for name in ("towers.csv", "table5.csv"):  # towers in the order of the tables that were asked
        given_rows, trained_rows = ((at / name).read_text().split("\n") for at in (tmp_path, out))
        assert sorted(given_rows) == sorted(trained_rows)
    text = (tmp_path / "table5.md").read_text()
    assert "in miniature" not in text
    assert "those here are of the checkpoints given, on phantoms" in text


def test_a_given_tower_and_a_given_language_model_stand_behind_new_projectors(tiny, out, tmp_path):
    seed = out / "seed-1"
    pair = seed / "pairs" / "dcformer-siglip" / "run" / "checkpoint"
    results = run_ablation(
        tiny,
        tmp_path,
        METRICS,
        data=out / "store",
        tables=(9,),
        given=[f"dcformer-siglip={pair}", *models_in(out)],
        llm=str(seed / "language" / "checkpoint"),
    )
    trained = sorted(folder.name for folder in (tmp_path / "seed-1" / "models").iterdir())
    assert trained == ["dcformer-siglip-1xmlp-mixer-h", "dcformer-siglip-2xmlp-h"]
    assert {folder.name for folder in (tmp_path / "seed-1").iterdir()} == {"models"}
    parameters = [row["Parameters"] for row in results["tables"][1]["rows"][4:]]
    assert len(set(parameters)) == 4


def test_metrics_are_tried_before_anything_is_trained(tiny, out, tmp_path):
    with pytest.raises(UnusableData, match="METEOR: not among the metrics"):
        run_ablation(tiny, tmp_path, METRICS[:2], data=out / "store", tables=(5,))
    assert list(tmp_path.iterdir()) == []


def test_without_phantoms_a_store_has_to_be_named(tiny, tmp_path):
    bare = tiny.model_copy(update={"phantoms": None})
    with pytest.raises(RecipeError, match="has no table phantoms; name a store by --data"):
        run_ablation(bare, tmp_path, METRICS)


def test_the_command_prints_the_tables(out):
    changes = [part for change in CHANGES for part in ("--set", change)]
    arguments = ["ablation", "--out", str(out), "--tables", "8", "--seeds", "1", *changes]
    result = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert (
        "### Vision encoders and losses in retrieval, in miniature: 6 test pairs" in result.output
    )
    assert "### What was found, beside the paper" in result.output


def test_three_seeds_are_the_default():
    assert next(p for p in evaluate.commands["ablation"].params if p.name == "seeds").default == (
        1,
        2,
        3,
    )


def test_the_command_offers_every_table_that_is_known():
    assert tuple(map(int, TABLE_NUMBERS)) == ALL
