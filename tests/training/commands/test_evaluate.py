import json

import pytest
from click.testing import CliRunner, Result

from engine.checkpoints.checkpoint import ModelCard, save_pair
from plugin.cli import main
from tests.training.evaluation.conftest import SPEC
from training.evaluation.items import report_items


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


@pytest.fixture
def options(data, tmp_path) -> list[object]:
    return ["--data", data, "--out", tmp_path / "out", "--resamples", 10, "--limit", 2]


WRITE = ("--max-new-tokens", 4, "--device", "cpu")


def test_reports_are_printed_as_tables(checkpoint, options):
    result = run("report", "--model", checkpoint, "--split", "grouped", *options, *WRITE)
    assert result.exit_code == 0
    assert "### Report generation, split grouped, 2 test reports of phantoms" in result.output
    assert "BERTScore: not computed; needs the weights of roberta-large" in result.output


def test_json_prints_one_object_and_nothing_else(checkpoint, options, tmp_path):
    arguments = ["--model", checkpoint, "--split", "paper", *options, *WRITE, "--json"]
    result = run("vqa", *arguments)
    assert result.exit_code == 0
    results = json.loads(result.stdout)
    assert [table["name"] for table in results["tables"]] == ["table3", "table4", "yes_no"]
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results


def test_another_checkpoint_s_folder_is_refused_by_name(checkpoint, options):
    arguments = ["--model", checkpoint, *options, *WRITE, "--decoding", "greedy"]
    assert run("report", *arguments, "--split", "paper").exit_code == 0
    result = run("report", *arguments, "--split", "grouped")
    assert result.exit_code == 1
    assert "holds an evaluation with split paper, not grouped: take another" in result.output
    result = run("report", *arguments, "--split", "paper", "--seed", 1)
    assert "holds an evaluation with seed 0, not 1" in result.output


def test_a_store_that_was_prepared_in_another_way_is_refused(options):
    result = run("report", "--model", "embedded", "--split", "paper", *options)
    assert result.exit_code == 1
    assert "was prepared in another way: size is (64, 64, 128), not (64, 128, 128)" in result.output
    assert result.output.count("\n") == 1


def test_texts_from_elsewhere_need_no_checkpoint(store, options, tmp_path):
    listed = run("report", "--list-items", "--split", "paper", *options)
    assert listed.output == f"2 items: {tmp_path / 'out' / 'items.jsonl'}\n"
    items = [json.loads(line) for line in (tmp_path / "out/items.jsonl").read_text().splitlines()]
    assert [item["key"] for item in items] == [i.key for i in report_items(store, "paper", 2)]
    file = tmp_path / "theirs.jsonl"
    file.write_text(
        "".join(json.dumps({"key": i["key"], "text": "Ascites."}) + "\n" for i in items)
    )
    result = run("report", "--predictions", file, "--split", "paper", *options)
    assert result.exit_code == 0
    assert "theirs (given)" in result.output


@pytest.mark.parametrize("both", [[], ["--model", "embedded", "--predictions", __file__]])
def test_one_system_is_evaluated(options, both, data, monkeypatch):
    monkeypatch.setattr("training.commands.evaluate.preprocess_of", lambda checkpoint: SPEC)
    result = run("report", *both, "--split", "paper", *options)
    assert result.exit_code == 2
    assert "name either --model or --predictions" in result.output


def test_the_split_is_never_guessed(options, checkpoint):
    assert run("report", "--model", checkpoint, *options).exit_code == 2


def test_a_model_that_writes_is_no_pair(options, checkpoint):
    result = run("retrieval", "--model", checkpoint, "--split", "paper", *options)
    assert result.exit_code == 1
    assert "holds no contrastive pair" in result.output


def test_a_pair_retrieves(options, pair_system, tmp_path):
    card = ModelCard("pair", "1")
    save_pair(pair_system.pair, pair_system.tokenizer, card, SPEC, tmp_path / "pair")
    arguments = ["--model", tmp_path / "pair", "--split", "paper", *options]
    result = run("retrieval", *arguments, "--device", "cpu", "--json")
    assert result.exit_code == 0
    results = json.loads(result.stdout)
    assert results["checkpoint"]["name"] == "pair"
    assert results["pairs"] == 2
    assert "pair all 2" in results["tables"][0]["rows"][0]


def test_phantoms_are_scored_as_tables_and_as_json():
    arguments = ["phantoms", "--model", "fake", "--seeds", "1:3", "--resamples", 5]
    assert "### Findings of 2 phantoms" in run(*arguments).output
    assert json.loads(run(*arguments, "--json").stdout)["studies"] == 2


def test_seeds_that_are_no_range_are_wrong_usage():
    assert run("phantoms", "--seeds", "7").exit_code == 2


def test_two_evaluations_are_compared(checkpoint, options, tmp_path):
    arguments = ["--model", checkpoint, "--split", "paper", *options, *WRITE]
    run("report", *arguments)
    (tmp_path / "out").rename(tmp_path / "first")
    run("report", *arguments)
    result = run("compare", tmp_path / "first", tmp_path / "out")
    assert "| ROUGE-1 (greedy) | 0.00 (-65.76 to 65.76) |" in result.output
    assert json.loads(run("compare", tmp_path / "first", tmp_path / "out", "--json").stdout)
