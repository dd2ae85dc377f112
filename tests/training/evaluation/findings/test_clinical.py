import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.findings.clinical import (
    LEVELS,
    crg,
    label_table,
    macro_f1,
    severities,
    severity_table,
)
from training.evaluation.findings.reader import read_findings
from training.evaluation.findings.vocabulary import default_vocabulary
from training.evaluation.metrics.bootstrap import Bootstrap, wilson

REPORTS = ["Cardiomegaly. No effusion.", "Left pleural effusion.", "Emphysema.", "Normal."]


def read(*texts: str) -> list:
    return [read_findings(text) for text in texts]


def draws(n: int) -> Bootstrap:
    return Bootstrap(tuple(map(str, range(n))), resamples=50)


def figure(table, name: str, column: str):
    row = next(row for row in table.rows if row[0] == name)
    return row[table.columns.index(column)]


def test_the_same_reports_are_perfect():
    found = read(*REPORTS)
    table = label_table(draws(4), found, found, "Labels")
    assert figure(table, "macro F1", "F1").value == 100
    assert figure(table, "CRG", "F1").value == 100
    assert [row[0] for row in table.rows] == [
        "Cardiomegaly",
        "Emphysema",
        "Pleural effusion",
        "macro F1",
        "CRG",
    ]


def test_a_rare_label_is_left_out_of_draws_without_it():
    found = read("Emphysema.", *["Cardiomegaly."] * 19)
    table = label_table(draws(20), found, found, "Labels")
    once, often = (figure(table, label, "F1") for label in ("Emphysema", "Cardiomegaly"))
    assert once.low == pytest.approx(wilson(1, 1).low * 100)
    assert often.low == pytest.approx(wilson(1, 19).low * 100)
    assert figure(table, "macro F1", "F1").low > 80


@pytest.mark.parametrize("said", ["Normal.", "Emphysema."])
def test_references_without_a_label_have_no_crg(said):
    table = label_table(draws(2), read("Normal.", "Renal cyst."), read(said, "Normal."), "Labels")
    macro = figure(table, "macro F1", "F1")
    assert (macro.value, figure(table, "CRG", "F1")) == (0, None)
    assert 0 == macro.low < macro.high <= 100
    json.dumps(table.to_dict(), allow_nan=False)


@given(st.integers(1, 50), st.integers(1, 500))
def test_crg_gives_a_third_to_who_asserts_nothing_or_everything(there, absent):
    asked = there + absent
    nothing = np.array([0, 0, there, asked], float)
    everything = np.array([there, absent, 0, asked], float)
    perfect = np.array([there, 0, 0, asked], float)
    assert crg(nothing) == pytest.approx(1 / 3)
    assert crg(everything) == pytest.approx(1 / 3)
    assert crg(perfect) == pytest.approx(1)


def test_macro_f1_is_the_mean_of_the_labels():
    parts = np.array([[2, 0, 0], [1, 1, 1], [0, 0, 3]], float)
    assert macro_f1(parts.reshape(-1)) == pytest.approx((1 + 0.5 + 0) / 3)


def test_a_missed_pneumothorax_weighs_more_than_a_missed_cyst():
    wanted = read("Left pneumothorax.", "Right renal cyst.")
    said = read("Normal.", "Normal.")
    table = severity_table(draws(2), wanted, said, "Errors")
    assert figure(table, "urgent", "missed").value == 0.5
    assert figure(table, "minor", "missed").value == 0.5
    assert figure(table, "weighted", "missed").value == 2.5
    assert figure(table, "weighted", "invented").value == 0


def test_every_finding_has_one_level():
    weights, levels = severities()
    assert set(levels) == set(default_vocabulary().findings)
    assert set(weights) == set(LEVELS)
