import numpy as np
import pytest

from dicom_io.phantoms.truth import FINDINGS, Truth, draw_truth
from engine.fake import FakeEngine
from training.data.phantoms.text import report_text
from training.evaluation.metrics.bootstrap import Bootstrap
from training.evaluation.tasks.phantoms import evaluate_phantoms, phantom_tables, section

REPORT = "Technique: axial, delayed. Findings: There is ascites. Impression: Ascites."


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        ("Technique", "axial, delayed."),
        ("Findings", "There is ascites."),
        ("Impression", "Ascites."),
        ("Comparison", ""),
    ],
)
def test_a_section_ends_where_the_next_begins(heading, text):
    assert section(REPORT, heading) == text


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    rng = np.random.default_rng(0)
    return [draw_truth(rng) for _ in range(30)]


def tables_of(truths, texts):
    draws = Bootstrap(tuple(map(str, range(len(truths)))), 50)
    return phantom_tables(draws, truths, texts, FINDINGS)


def test_perfect_reports_score_everything(truths):
    rng = np.random.default_rng(1)
    found, technique = tables_of(truths, [report_text(truth, rng) for truth in truths])
    assert {row[0] for row in found.rows} == {*FINDINGS, "all"}
    assert all(cell.value == 100 for row in found.rows for cell in row[3:])
    assert [row[1].value for row in technique.rows] == [100, 100]


def test_reports_of_other_phantoms_score_less(truths):
    rng = np.random.default_rng(1)
    found, technique = tables_of(truths, [report_text(truth, rng) for truth in truths[::-1]])
    assert all(row[found.columns.index("strict F1")].value < 90 for row in found.rows)
    assert technique.rows[1][1].value < 90


def test_silence_finds_nothing_and_is_counted(truths):
    found, _ = tables_of(truths, [""] * len(truths))
    assert found.title == "Findings of 30 phantoms, 30 abstained"
    assert {cell.value for row in found.rows for cell in row[3:]} == {0}


def test_an_engine_is_asked_about_each_seed():
    results = evaluate_phantoms(FakeEngine(), range(1, 4), resamples=10)
    assert results["studies"] == 3
    assert results["checkpoint"]["name"]
    assert [table["name"] for table in results["tables"]] == ["findings", "technique"]
