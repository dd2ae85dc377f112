"""The adapters, against stand-ins that have the signatures of the packages."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from huggingface_hub import constants

from dicom_io.errors import UnusableData
from training.evaluation.metrics.plugins import load_metric


def length(said: list[str], wanted: list[str]) -> list[float]:
    return [len(s) / len(w) for s, w in zip(said, wanted, strict=True)]


def quietly_offline() -> None:
    assert constants.HF_HUB_OFFLINE
    print("no line of a package may stand between those of --json")


class F1RadGraph:
    def __init__(self, reward_level, model_type=None, **kwargs):
        assert (reward_level, model_type) == ("partial", "radgraph-xl")
        assert kwargs["model_cache_dir"]
        quietly_offline()

    def __call__(self, refs, hyps):
        return 0.0, length(hyps, refs), [], []


class RaTEScore:
    def __init__(self, bert_model, eval_model, batch_size=1, use_gpu=True):
        assert bert_model.endswith("RaTE-NER-Deberta")
        assert eval_model.endswith("BioLORD-2023-C")
        quietly_offline()

    def compute_score(self, candidate_list, reference_list):
        return length(candidate_list, reference_list)


class CRIMSONScore:
    def __init__(self, api="hf", model_name=None, device=None):
        assert api == "hf"
        quietly_offline()

    def evaluate_batch(self, reference_findings_list, predicted_findings_list):
        scores = length(predicted_findings_list, reference_findings_list)
        return [{"crimson_score": score} if score < 5 else None for score in scores]


class GREEN:
    def __init__(self, model_name, output_dir="."):
        quietly_offline()
        self.table = Path(output_dir, "results.csv")

    def __call__(self, refs, hyps):
        self.table.write_text("".join(refs))
        scores = [score if score < 5 else None for score in length(hyps, refs)]
        return 0.0, 0.0, scores, "", None


PACKAGES = {
    "radgraph": ("radgraph", F1RadGraph, ["radgraph-xl/config.json", "radgraph-xl/weights.th"]),
    "ratescore": ("RaTEScore", RaTEScore, ["RaTE-NER-Deberta", "BioLORD-2023-C"]),
    "crimson": ("CRIMSON.generate_score", CRIMSONScore, ["config.json"]),
    "green": ("green_score", GREEN, ["config.json"]),
}


@pytest.fixture(params=PACKAGES)
def metric(request, tmp_path, monkeypatch):
    package, scorer, contents = PACKAGES[request.param]
    for part in (package.partition(".")[0], package):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    setattr(sys.modules[package], scorer.__name__, scorer)
    for name in contents:
        (tmp_path / name).mkdir(parents=True)
    return load_metric(f"{request.param}={tmp_path}")


def test_each_pair_has_a_score_and_an_empty_text_none(metric, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert metric.score(["ab", " ", "abcd"], ["abcd", "x", "abcd"]).tolist() == [0.5, 0, 1]
    assert metric.score(["", " "], ["a", "b"]).tolist() == [0, 0]
    assert not constants.HF_HUB_OFFLINE
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.parametrize("metric", ["crimson", "green"], indirect=True)
def test_a_judge_without_a_figure_gives_zero_and_says_so(metric, caplog):
    assert metric.score(["abcdef", "a"], ["a", "a"]).tolist() == [0, 1]
    assert caplog.messages == [f"{metric.name}: 1 of 2 texts have no figure and count 0"]


def test_a_model_that_only_the_hub_has_is_named(tmp_path, monkeypatch):
    class NamesTheHub:
        def __init__(self, **options):
            raise OSError("some/encoder is not a local folder")

    for content in PACKAGES["radgraph"][2]:
        (tmp_path / content).mkdir(parents=True)
    package = ModuleType("radgraph")
    package.F1RadGraph = NamesTheHub
    monkeypatch.setitem(sys.modules, "radgraph", package)
    with pytest.raises(UnusableData, match="radgraph needs a file that is not here: some/encoder"):
        load_metric(f"radgraph={tmp_path}")


@pytest.mark.parametrize("name", PACKAGES)
def test_without_its_weights_nothing_is_fetched(name, tmp_path):
    with pytest.raises(UnusableData, match=f"metric {name} needs weights: {name}=FOLDER with "):
        load_metric(f"{name}={tmp_path}")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_not_there_is_named(name, tmp_path):
    for content in PACKAGES[name][2]:
        (tmp_path / content).mkdir(parents=True)
    with pytest.raises(UnusableData, match="needs a package that is not here"):
        load_metric(f"{name}={tmp_path}")
