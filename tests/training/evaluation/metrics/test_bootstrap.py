import numpy as np
import pytest

from training.evaluation.metrics.bootstrap import (
    Bootstrap,
    mean,
    mean_of_means,
    summed,
    summed_by,
    wilson,
)


def of(cases, **more) -> Bootstrap:
    return Bootstrap(tuple(map(str, cases)), **more)


def test_the_figure_is_that_of_all_items():
    assert of(range(4)).interval(summed([1, 2, 3, 6]), mean).value == 3


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    items = summed(np.random.default_rng(0).random(40))
    first, again, other = (of(range(40), seed=s).interval(items, mean) for s in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_the_interval_is_about_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=400)
    found = of(range(400), resamples=4000).interval(summed(values), mean)
    error = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - error, abs=0.02)
    assert found.high == pytest.approx(values.mean() + error, abs=0.02)


def test_it_holds_the_true_mean_about_as_often_as_it_says():
    rng, held = np.random.default_rng(1), 0
    for trial in range(200):
        found = of(range(60), resamples=400, seed=trial).interval(summed(rng.random(60)), mean)
        held += found.low <= 0.5 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_copies_of_a_case_make_the_interval_no_narrower():
    values = np.random.default_rng(0).random(30)
    once = of(range(30)).interval(summed(values), mean)
    copied = of(np.repeat(range(30), 10)).interval(summed(np.repeat(values, 10)), mean)
    assert (once.low, once.high) == pytest.approx((copied.low, copied.high))


def test_equal_scores_have_an_interval_of_no_width():
    found = of(range(5)).interval(summed([0.5] * 5), mean)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_difference_in_pairs_is_narrower_than_its_parts():
    rng = np.random.default_rng(0)
    first = rng.random(50)
    second = first + 0.1 + 0.01 * rng.normal(size=50)
    draws = of(range(50))
    gain = draws.difference(summed(first), summed(second), mean)
    alone = draws.interval(summed(first), mean)
    assert gain.value == pytest.approx((second - first).mean())
    assert gain.low > 0.09
    assert gain.high - gain.low < (alone.high - alone.low) / 10


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0.0, 1.0, (1.0, wilson(1.0, 20).low, 1.0)),
        (1.0, 0.0, (-1.0, -1.0, -wilson(1.0, 20).low)),
        (0.4, 0.4, (0.0, -wilson(0.0, 20).high, wilson(0.0, 20).high)),
        (0.2, 0.5, (0.3, 0.3, 0.3)),  # no share of cases
    ],
)
def test_a_difference_that_no_draw_changes_has_the_interval_of_its_cases(first, second, expected):
    a, b = (summed([value] * 20) for value in (first, second))
    found = of(range(20)).difference(a, b, mean)
    assert (found.value, found.low, found.high) == pytest.approx(expected)


def test_the_mean_of_means_is_unweighted():
    groups = ["a", "a", "a", "b"]
    items = summed_by(groups, ["a", "b"], np.array([0.0, 0.0, 0.0, 1.0]))
    assert of(range(4)).interval(items, mean_of_means).value == 0.5


def test_a_group_that_a_draw_lacks_is_left_out_of_that_draw():
    items = summed_by(["a", "b"], ["a", "b"], np.array([0.2, 0.8]))
    found = of(range(2)).interval(items, mean_of_means)
    assert (found.low, found.high) == pytest.approx((0.2, 0.8))


def test_items_scale_to_percent():
    assert of(range(1)).interval(summed([0.5]), mean).times(100).value == 50


@pytest.mark.parametrize(("score", "low", "high"), [(1.0, 0.9630, 1.0), (0.0, 0.0, 0.0370)])
def test_a_hundred_of_a_hundred_has_wilsons_interval(score, low, high):
    found = of(range(100)).interval(summed([score] * 100), mean)
    assert found.value == score
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_a_figure_of_two_cases_is_nearly_unknown():
    assert of([1, 1, 1, 2]).interval(summed([1.0] * 4), mean).low < 0.4


def test_a_rate_that_is_no_share_keeps_its_bootstrap():
    found = of(range(5)).interval(summed([1.0] * 5), mean, share=False)
    assert (found.low, found.high) == (1, 1)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (3, 10), (50, 50), (1, 2)])
def test_wilsons_interval_holds_its_share(right, n):
    found = wilson(right / n, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
