import csv
import json

import numpy as np
import pytest

from dicom_io.errors import UnusableData
from training.evaluation.folder import read_outputs
from training.evaluation.items import report_items
from training.evaluation.metrics.text_metrics import BLEU_1, METEOR, ROUGE_1, PairMetric, rouge_1
from training.evaluation.scores import score_texts
from training.evaluation.setting import Setting
from training.evaluation.systems import ModelSystem, Predictions
from training.evaluation.tasks.reports import evaluate_reports


class NeedsWeights:
    name = "BERTScore"

    def score(self, predictions, references):
        raise UnusableData("needs the weights of x")


METRICS = [BLEU_1, ROUGE_1, NeedsWeights()]


@pytest.fixture(scope="module")
def evaluated(store, engine, tmp_path_factory):
    """A folder of results, and what results.json holds."""
    folder = tmp_path_factory.mktemp("reports") / "out"
    setting = Setting(store, "paper", folder, resamples=50)
    system = ModelSystem(engine, store, max_new_tokens=12)
    extra = PairMetric("halves", lambda p, r: 0.5)
    return folder, evaluate_reports(setting, system, [*METRICS, extra])


def rows(results, name):
    return next(table["rows"] for table in results["tables"] if table["name"] == name)


def test_the_figure_is_the_mean_of_each_text_s_own(evaluated, store):
    folder, results = evaluated
    texts = [output.text for output in read_outputs(folder / "greedy.jsonl").values()]
    references = [item.reference for item in report_items(store, "paper")]
    mean = np.mean([rouge_1(p, r) for p, r in zip(texts, references, strict=True)])
    here = [row for row in rows(results, "table2") if row["source"] == "here"]
    assert here[0]["method"] == "tiny (greedy)"
    assert here[0]["ROUGE"]["value"] == pytest.approx(100 * mean)
    assert here[0]["ROUGE"]["low"] <= here[0]["ROUGE"]["value"] <= here[0]["ROUGE"]["high"]


def test_the_paper_s_rows_stand_beside_those_of_here_and_are_called_so(evaluated):
    _, results = evaluated
    table = rows(results, "table2")
    assert [row["source"] for row in table] == ["paper"] * 4 + ["here"] * 2
    assert table[3]["METEOR"] == 36.42


def test_what_was_not_computed_says_why(evaluated):
    folder, results = evaluated
    assert rows(results, "table2")[-1]["BERTScore"] == "not computed"
    assert "BERTScore: not computed; needs the weights of x." in (folder / "table2.md").read_text()


def test_a_further_metric_has_a_table_of_its_own(evaluated):
    _, results = evaluated
    assert rows(results, "other_metrics")[0]["halves"]["value"] == 50


def test_the_title_names_split_data_and_number(evaluated):
    _, results = evaluated
    titles = [table["title"] for table in results["tables"]]
    assert all("split paper, 6 test reports of phantoms" in title for title in titles)


def test_figures_of_other_data_are_not_said_to_compare(evaluated):
    _, results = evaluated
    notes = " ".join(results["tables"][0]["notes"])
    assert "The paper's figures are of M3D, those here of phantoms: not the same test." in notes


def test_the_results_say_everything_that_decides_them(evaluated):
    _, results = evaluated
    assert results["split"] == "paper"
    assert results["checkpoint"]["name"] == "tiny"
    assert len(results["checkpoint"]["digest"]) == 64
    assert results["max_new_tokens"] == 12
    assert results["bootstrap"]["resamples"] == 50
    assert {"transformers", "bert-score", "nltk"} <= set(results["versions"])
    assert results["texts"]["greedy"]["texts"] == 6


def test_every_score_of_every_text_is_kept(evaluated):
    folder, _ = evaluated
    with (folder / "scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 6 * 2 * 3
    assert {row["decoding"] for row in scores} == {"greedy", "sampled"}


def test_findings_and_the_difference_of_decodings_have_tables(evaluated):
    _, results = evaluated
    names = {table["name"] for table in results["tables"]}
    assert {"findings_greedy", "findings_sampled", "difference"} <= names


def test_a_metric_of_one_decoding_alone_has_no_difference(store, engine, tmp_path):
    class NeedsNothingOnce:
        name = "METEOR"
        calls = 0

        def score(self, predictions, references):
            self.calls += 1
            if self.calls > 1:
                raise UnusableData("needs WordNet")
            return np.zeros(len(predictions))

    system = ModelSystem(engine, store, max_new_tokens=2)
    setting = Setting(store, "paper", tmp_path / "out", resamples=50)
    results = evaluate_reports(setting, system, [BLEU_1, NeedsNothingOnce()])
    assert [row["figure"] for row in rows(results, "difference")] == ["BLEU-1"]
    assert "METEOR: not computed; needs WordNet." in (tmp_path / "out" / "table2.md").read_text()


def test_the_plot_is_there_as_png_and_svg(evaluated):
    folder, _ = evaluated
    assert (folder / "table2.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (folder / "table2.svg").read_text()


@pytest.fixture
def perfect(store, tmp_path):
    """A file of predictions that says what the references say."""
    items = report_items(store, "grouped")
    file = tmp_path / "perfect.jsonl"
    lines = (json.dumps({"key": item.key, "text": item.reference}) + "\n" for item in items)
    file.write_text("".join(lines))
    return Predictions(file)


@pytest.mark.usefixtures("nltk_files")
def test_texts_from_elsewhere_are_scored_alike(store, perfect, tmp_path):
    setting = Setting(store, "grouped", tmp_path / "out", resamples=20)
    results = evaluate_reports(setting, perfect, [BLEU_1, ROUGE_1, METEOR, NeedsWeights()])
    (row,) = rows(results, "table2")  # the paper's rows answer another question
    assert row["method"] == "perfect (given)"
    assert row["BLEU"]["value"] == row["BLEU"]["high"] == pytest.approx(100)
    assert 50 < row["BLEU"]["low"] < 100  # Wilson's, of a few cases
    assert row["METEOR"]["value"] > 99
    assert rows(results, "findings_given")[-1]["strict F1"]["value"] == 100


def test_a_text_says_nothing_of_another_s_score(store):
    items = report_items(store, "paper")
    texts = [item.reference for item in items]
    whole = score_texts([ROUGE_1], items, texts).scores["ROUGE-1"]
    broken = score_texts([ROUGE_1], items, ["", *texts[1:]]).scores["ROUGE-1"]
    assert broken[0] == 0
    assert whole[1:].tolist() == broken[1:].tolist()


def test_a_library_that_is_not_installed_is_named_with_the_command(store):
    def missing(prediction, reference):
        raise ModuleNotFoundError("No module named 'nltk'", name="nltk.translate")

    items = report_items(store, "paper")
    scored = score_texts([PairMetric("X", missing)], items, ["text"] * len(items))
    assert scored.missing == {"X": "nltk is not installed: pip install 'ctscribe[evaluation]'"}
