from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import confidence, errors_told
from dicom_io.phantoms.grades import GRADES
from dicom_io.phantoms.truth import FINDINGS


def study(number: int) -> dict[str, Any]:
    """A study of which the model is as sure as it is right, and its question knows nothing."""
    rng = np.random.default_rng(number)
    cases = []
    for finding in FINDINGS:
        there = float(rng.beta(0.6, 0.9))
        effusion = finding == "pleural effusion"
        word = "left" if effusion else "present"
        others = {"right": 0.0, "bilateral": 0.0} if effusion else {}
        cases.append(
            {
                "finding": finding,
                "said": word if there > 0.5 else "absent",
                "truth": word if rng.random() < there else "absent",
                "posterior": {word: there, "absent": 1 - there, **others},
                "asked": {"present": 0.5, "absent": 0.5},
                "tokens": float(rng.random()),
            }
        )
    return {
        "seed": confidence.FIRST_SEED + number,
        "grade": GRADES[number % 3],
        "abstained": False,
        "seconds": 1.0,
        "cases": cases,
    }


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(errors_told, "RESAMPLES", 20)
        patched.setattr(confidence, "SPLITS", 10)
        return confidence.report([study(number) for number in range(600)])


def test_what_knows_its_errors_tells_them_apart(told):
    assert told["facts, calibrated"]["AUROC"]["value"] > 0.7
    assert told["question, calibrated"]["AUROC"]["value"] < 0.65
    assert told["mean token probability"]["AUROC"]["value"] == pytest.approx(0.5, abs=0.08)
    shares = told["facts, calibrated"]
    assert shares["wrong after withholding 20 %"]["value"] < told["wrong"] / told["sentences"]
    assert shares["calibration error"]["value"] < 0.03


@pytest.mark.parametrize("truth", ["all, present", "all, absent"])
def test_the_promise_is_counted_for_each_truth(told, truth):
    row = told["conformal"][truth]
    assert row["coverage"] == pytest.approx(0.95, abs=0.02)
    assert 0 < row["decided"] < 1


def test_studies_of_every_grade_that_are_alike_do_not_drift(told):
    assert all(abs(row["mean"]) < 0.2 for row in told["drift from standard"].values())


def test_words_are_counted(told):
    assert told["levels"]["high"]["wrong"] < 0.06 < told["levels"]["low"]["wrong"]
    assert sum(row["n"] for row in told["levels"].values()) == told["sentences"]


def test_each_half_has_every_grade():
    halves = {0: set(), 1: set()}
    for one in confidence.sentences([study(number) for number in range(12)]):
        halves[confidence._half(one)].add(one.grade)
    assert halves == {0: set(GRADES), 1: set(GRADES)}
