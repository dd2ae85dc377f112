from __future__ import annotations

import numpy as np
import pytest

from engine.judgement.calibration import ENOUGH, Calibration
from engine.judgement.fitting import fit, platt
from engine.judgement.phrasing import Phrasing
from engine.judgement.scores import Case, Score, cases_of, logit

ASCITES = Phrasing(
    finding="ascites",
    terms=("ascites",),
    facts={"present": ("There is ascites.",), "absent": ("There is no ascites.",)},
)


def case(i: int, there: float, truth: str) -> Case:
    said = "present" if there > 0.5 else "absent"
    score = Score("ascites", {"present": there, "absent": 1 - there}, said, (0, 5))
    return Case(f"study {i}", score, truth)


def drawn(n: int, seed: int, noise: float = 1.5) -> list[Case]:
    """Studies of which the model is as sure as it is right: the logit itself is the truth's."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2 * noise, n)
    there = 1 / (1 + np.exp(-logits))
    return [
        case(i, float(share), "present" if rng.random() < share else "absent")
        for i, share in enumerate(there)
    ]


def fitted(cases: list[Case]) -> Calibration:
    return fit(cases, [ASCITES], name="a test", model="0" * 64)


def test_two_numbers_find_a_slope_and_an_offset():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * scores + 1)))
    assert platt(scores, right) == pytest.approx((0.5, 1), abs=0.06)


def test_a_score_that_ranks_errors_the_wrong_way_round_tells_nothing():
    scores = np.linspace(-2, 2, 40)
    slope, offset = platt(scores, scores < 0.9)
    assert slope == 0
    assert 1 / (1 + np.exp(-offset)) == pytest.approx(np.mean(scores < 0.9), abs=0.05)


def test_few_and_separable_cases_give_finite_numbers():
    slope, offset = platt(np.array([-5.0, 5.0, 6.0]), np.array([False, True, True]))
    assert 0 < slope < 5
    assert abs(offset) < 5


def test_a_word_means_what_it_says():
    known, fresh = fitted(drawn(4000, 1)), drawn(4000, 2)
    by_word: dict[str | None, list[bool]] = {"high": [], "medium": [], "low": []}
    for one in fresh:
        by_word[known.level(one.score)].append(one.right)
    assert np.mean(by_word["high"]) > 0.95
    assert 0.8 < np.mean(by_word["medium"]) < 0.95
    assert np.mean(by_word["low"]) < 0.8


@pytest.mark.parametrize("present", [True, False])
def test_the_truth_is_seldom_ruled_out_whichever_it_is(present: bool):
    kept = []
    for seed in range(60):
        known = fitted(drawn(200, seed))
        kept += [
            known.may_be(one.score, present)
            for one in drawn(100, 1000 + seed)
            if (one.truth == "present") == present
        ]
    assert np.mean(kept) == pytest.approx(0.95, abs=0.015)


def test_eighteen_cases_promise_nothing():
    absent = [case(i, 0.001 * i, "absent") for i in range(100)]
    for positives in (ENOUGH - 1, ENOUGH):
        known = fitted(absent + [case(200 + i, 0.9, "present") for i in range(positives)])
        bound = known.of("ascites", True)
        assert bound is not None
        assert bound.cases == positives
        assert bound.promises == (positives == ENOUGH)
        level = known.level(absent[0].score)
        # that it is there cannot be ruled out where nobody knows what it looks like
        assert level == ("high" if bound.promises else "medium")


def test_too_few_sentences_have_no_word():
    known = fitted([case(i, 0.01, "absent") for i in range(ENOUGH - 1)])
    assert known.level(case(0, 0.01, "absent").score) is None
    assert known.assessment([case(0, 0.01, "absent").score]).sentences == ()


def test_the_first_sentence_of_a_finding_is_the_case():
    first = Score("ascites", {"present": 0.7, "absent": 0.3}, "present", (0, 5))
    second = Score("ascites", {"present": 0.7, "absent": 0.3}, "absent", (9, 15))
    (only,) = cases_of("a", [first, second], {"ascites": "present", "cardiomegaly": "absent"})
    assert only.score is first
    assert only.right


def test_a_logit_is_finite():
    assert np.isfinite([logit(0), logit(1)]).all()
