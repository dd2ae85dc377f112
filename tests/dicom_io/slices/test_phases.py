"""Phases in 4D that only their order at each position tells apart: one of them, or none."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.errors import NoUsableSeries
from dicom_io.slices.read import read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_first
from tests.ct import ct_slice, save

POSITIONS, PHASES = 8, 3
NOISE = np.random.default_rng(5).integers(-30, 30, (POSITIONS, PHASES, 32, 32))
# Each phase is brighter than the one before it, where the contrast agent is
HU = NOISE + np.arange(PHASES)[None, :, None, None] * 150 * (np.arange(32) < 12)


def straight(k, t):
    return k * PHASES + t + 1


def zigzag(k, t):
    return k * PHASES + (PHASES - 1 - t if k % 2 else t) + 1


def series(folder, number, hu=HU, lost=(), **attributes):
    """Every phase of every position; callables are given both."""
    images = [
        ct_slice(
            hu[k, t],
            (0, 0, 3.0 * k),
            number=number(k, t),
            **{name: value(k, t) for name, value in attributes.items()},
        )
        for k in range(POSITIONS)
        for t in range(PHASES)
        if (k, t) not in lost
    ]
    return save(images, folder)


def phase_of(folder):
    """The phase that the volume shows; fails where it shows no single one."""
    _, volume = build_first(choose_series(read_study([folder])))
    found = [t for t in range(PHASES) if np.array_equal(volume.hu, HU[:, t])]
    assert len(found) == 1
    return found[0]


NUMBERED = pytest.mark.parametrize("number", [straight, zigzag])


@NUMBERED
def test_numbers_that_run_at_each_position_give_one_phase(tmp_path, number):
    assert phase_of(series(tmp_path, number)) == 0


@NUMBERED
@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "ContentTime"])
def test_so_do_numbers_of_acquisitions_and_times_of_reconstruction(tmp_path, number, keyword):
    one_number = {keyword: lambda k, t: f"12{number(k, t):04d}" if "T" in keyword else number(k, t)}
    assert phase_of(series(tmp_path, lambda k, t: 1, **one_number)) in range(PHASES)


@pytest.mark.parametrize(
    ("keyword", "moment"),
    [
        ("TriggerTime", lambda k, t: f"{t * 100 + k % 3 * 20}"),
        ("AcquisitionTime", lambda k, t: f"12{58 + t}5{(7 * k + t) % 10}.25"),
        ("AcquisitionDateTime", lambda k, t: f"2026010123595{9 - k % 4}.5+0100"[:14] + f".{t}{k}"),
        ("AcquisitionTime", lambda k, t: f"12{k:02d}{t:02d}"),
        ("AcquisitionTime", lambda k, t: f"12{t:02d}{(k if t % 2 else 9 - k):02d}"),
    ],
    ids=["heart", "over the minute", "fractions", "cine at each position", "table to and fro"],
)
@NUMBERED
def test_times_give_one_phase_whatever_the_numbers(tmp_path, number, keyword, moment):
    assert phase_of(series(tmp_path, number, **{keyword: moment})) in range(PHASES)


@pytest.mark.parametrize("lost", [(3, 0), (3, 1), (3, 2)])
def test_a_lost_slice_costs_its_phase_a_slice_where_times_are_apart(tmp_path, lost):
    moments = {"TriggerTime": lambda k, t: f"{t * 100 + k % 3 * 20}"}
    folder = series(tmp_path, straight, lost=[lost], **moments)
    _, volume = build_first(choose_series(read_study([folder])))
    shown = {t for t in range(PHASES) if np.array_equal(volume.hu[:3], HU[:3, t])}
    assert len(shown) == 1
    (phase,) = shown
    for k in range(POSITIONS):
        if (k, phase) != lost:
            np.testing.assert_array_equal(volume.hu[k], HU[k, phase])


def test_where_nothing_tells_there_is_no_draft_and_the_reason_says_so(tmp_path):
    alike = NOISE[:, :1] + np.random.default_rng(6).integers(-30, 30, NOISE.shape)
    folder = series(tmp_path, straight, alike)
    with pytest.raises(NoUsableSeries, match=r"8 positions are taken .*nothing tells"):
        choose_series(read_study([folder]))


@settings(max_examples=12)
@given(order=st.lists(st.permutations(range(PHASES)), min_size=POSITIONS, max_size=POSITIONS))
def test_orders_at_random_are_never_mixed(tmp_path_factory, order):
    folder = series(tmp_path_factory.mktemp("4d"), lambda k, t: k * PHASES + order[k][t] + 1)
    with suppress(NoUsableSeries):
        phase_of(folder)
