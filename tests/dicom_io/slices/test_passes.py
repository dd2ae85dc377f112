"""Passes over one range: never mixed, and never torn where they are one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.slices.frames import slices_of
from dicom_io.types import Instance, Series
from dicom_io.volume.grouping import split_stacks
from tests.ct import ct_slice

PLANE = np.zeros((4, 5))


def images(places, first=1, **attributes):
    """Slices at heights in mm, numbered in that order; callables are given the slice's index."""
    return [
        ct_slice(
            PLANE,
            (0, 0, z),
            number=first + k,
            **{name: v(k) if callable(v) else v for name, v in attributes.items()},
        )
        for k, z in enumerate(places)
    ]


def stacks(*parts):
    """The numbers of each stack in the order of positions, the largest first."""
    found = slices_of(
        Series("1", tuple(Instance(Path("memory"), i) for part in parts for i in part))
    )
    split = split_stacks(found)
    return [[one.number for one in sorted(s, key=lambda one: one.position[2])] for s in split]


def run(first, count):
    return list(range(first, first + count))


HELICAL = np.arange(24) * 3.0

# What two acquisitions of one series may differ in: by what names them, by time, by number alone
DIFFERENCES = {
    "acquisition number": ({}, {"AcquisitionNumber": 2}),
    "acquisition time": ({"AcquisitionTime": "100000"}, {"AcquisitionTime": "100130"}),
    "a time for each slice": (
        {"AcquisitionTime": lambda k: f"1000{k:02d}.5"},
        {"AcquisitionTime": lambda k: f"1001{k:02d}.5"},
    ),
    "date and time": (
        {"AcquisitionDateTime": "20260101235959.5+0100"},
        {"AcquisitionDateTime": "20260102000030.5+0100"},
    ),
    "irradiation event": ({"IrradiationEventUID": "1.2.1"}, {"IrradiationEventUID": "1.2.2"}),
    "temporal position": (
        {"TemporalPositionIdentifier": 1},
        {"TemporalPositionIdentifier": 2},
    ),
    "table height": ({"TableHeight": 120.0}, {"TableHeight": 131.5}),
    "tube voltage": ({}, {"KVP": 80}),
    "contrast": ({}, {"ContrastBolusAgent": "Iomeprol"}),
    "filter": ({"FilterType": "BODY"}, {"FilterType": "WEDGE_2"}),
    "field": ({"ReconstructionDiameter": 350}, {"ReconstructionDiameter": 500}),
    "numbers": ({"AcquisitionNumber": None}, {"AcquisitionNumber": None}),
    "numbers in acquisitions of one slice": (
        {"AcquisitionNumber": lambda k: k + 1},
        {"AcquisitionNumber": lambda k: k + 25},
    ),
}
differences = pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=DIFFERENCES)


@differences
@pytest.mark.parametrize("offset", [0, 0.7, 1.5, -1.5, 9, 10.5])
def test_two_acquisitions_over_one_range_are_never_mixed(difference, offset):
    one = images(HELICAL, **difference[0])
    other = images(HELICAL + offset, first=25, **difference[1])
    assert sorted(stacks(one, other)) == [run(1, 24), run(25, 24)]


@differences
def test_a_second_pass_that_runs_the_other_way_is_a_pass(difference):
    one = images(HELICAL, **difference[0])
    other = images(HELICAL[::-1] + 1.5, first=25, **difference[1])
    assert sorted(stacks(one, other)) == [run(1, 24), run(25, 24)[::-1]]


@differences
def test_a_part_that_is_scanned_again_does_not_join_the_whole(difference):
    again = images(HELICAL[10:] + 1, first=25, **difference[1])
    assert stacks(images(HELICAL, **difference[0]), again) == [run(1, 24), run(25, 14)]


@pytest.mark.parametrize("offset", [0, 1.3])
def test_of_passes_that_overlap_at_their_ends_the_earlier_keeps_the_place(offset):
    one = images(HELICAL)
    other = images(HELICAL + 48 + offset, first=25, AcquisitionNumber=2)
    whole, left_out = stacks(one, other)
    assert whole == [*run(1, 24), *run(25 + len(left_out), 24 - len(left_out))]
    assert len(left_out) == (8 if offset == 0 else 7)


@settings(max_examples=20)
@given(order=st.permutations(range(40)), offset=st.sampled_from([0.0, 1.3, 1.5, 33.0]))
def test_the_order_of_the_files_changes_nothing(order, offset):
    both = [
        *images(HELICAL[:20]),
        *images(HELICAL[:20] + offset, first=21, AcquisitionNumber=2),
    ]
    assert sorted(stacks([both[k] for k in order])) == sorted(stacks(both))


@pytest.mark.parametrize("shared", [0, 1, 2])
@pytest.mark.parametrize("length", [4, 8, 16])
def test_slabs_of_one_examination_stay_together(length, shared):
    places = np.arange(length) * 5.0
    slabs = [
        images(
            places + k * (length - shared) * 5.0,
            first=1 + k * length,
            AcquisitionNumber=k + 1,
            AcquisitionTime=f"10000{k}",
        )
        for k in range(5)
    ]
    whole, *left_out = stacks(*slabs)
    assert len(whole) == 5 * length - 4 * shared
    assert sum(map(len, left_out)) == 4 * shared


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "AcquisitionTime", "ContentTime"])
def test_step_and_shoot_of_single_slices_is_one_stack(keyword):
    single = {keyword: lambda k: 101 + k if keyword == "AcquisitionNumber" else f"1000{k:02d}"}
    assert stacks(images(HELICAL, **single)) == [run(1, 24)]


def test_slices_numbered_backwards_within_each_slab_are_one_stack():
    heights = [z for slab in range(6) for z in range(4 * slab + 3, 4 * slab - 1, -1)]
    assert len(stacks(images(heights))) == 1


@settings(max_examples=50)
@given(numbers=st.permutations(range(24)), times=st.permutations(range(24)))
def test_numbers_and_reconstruction_times_at_random_tear_no_stack(numbers, times):
    anonymised = images(HELICAL, ContentTime=lambda k: f"1000{times[k]:02d}")
    for image, number in zip(anonymised, numbers, strict=True):
        image.InstanceNumber = number + 1
    assert len(stacks(anonymised)) == 1


@pytest.mark.parametrize("phases", [2, 3, 5])
def test_phases_numbered_up_and_down_are_told_apart_by_time(phases):
    """Numbers run 1, 2, 3 at the first position and 6, 5, 4 at the next."""
    shot = []
    for phase in range(phases):
        numbers = [z * phases + (phase if z % 2 == 0 else phases - 1 - phase) + 1 for z in range(8)]
        turn = images(HELICAL[:8], AcquisitionTime=lambda k, p=phase: f"1200{p:02d}.00{k}")
        for image, number in zip(turn, numbers, strict=True):
            image.InstanceNumber = number
        shot.append(turn)
    expected = [[image.InstanceNumber for image in turn] for turn in shot]
    assert sorted(stacks(*shot)) == sorted(expected)


def test_phases_that_only_numbers_from_position_to_position_tell_apart_are_not_guessed():
    by_position = images([z for z in range(8) for _ in range(3)], AcquisitionNumber=None)
    assert len(stacks(by_position)) == 1


# What makes a slice foreign, beside the thickness that monitoring mostly has
FOREIGN = {
    "thickness": {"SliceThickness": 10},
    "description": {"SeriesDescription": "Monitoring"},
    "acquisition": {"AcquisitionNumber": 7},
    "time": {"AcquisitionTime": "093000"},
    "centre of the field": {},
    "derived": {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
    "matrix": {"Rows": 2, "PixelData": b"\0" * 20},
    "pixel size": {"PixelSpacing": [2, 2]},
}


@pytest.mark.parametrize("difference", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("height", [0.0, 35.0, 36.0, 37.5, 69.0])
@pytest.mark.parametrize("before", [True, False])
def test_a_foreign_slice_neither_joins_a_stack_nor_replaces_a_slice_of_it(
    difference, height, before
):
    helical = images(HELICAL, first=2 if before else 1)
    at = (40, 0, height) if not difference else (0, 0, height)
    foreign = ct_slice(PLANE, at, number=1 if before else 25, **difference)
    assert stacks([foreign], helical) == [run(2 if before else 1, 24), [foreign.InstanceNumber]]


@pytest.mark.parametrize("count", [3, 20])
def test_monitoring_between_the_slices_is_left_out_whole(count):
    monitoring = images(
        [50.0] * count,
        AcquisitionNumber=lambda k: k + 1,
        SliceThickness=10,
        AcquisitionTime=lambda k: f"1200{k:02d}",
    )
    helical = images(HELICAL, first=count + 1)
    assert stacks(monitoring, helical) == [run(count + 1, 24), run(1, count)]


@pytest.mark.parametrize("derived", [range(8, 24), range(0, 24, 2), [5], range(12)])
def test_originals_and_derived_slices_of_one_even_stack_stay_together(derived):
    def kind(k):
        return ["DERIVED" if k in derived else "ORIGINAL", "PRIMARY", "AXIAL"]

    assert stacks(images(HELICAL, ImageType=kind)) == [run(1, 24)]


def test_originals_and_derived_slices_at_the_same_places_are_two_stacks():
    derived = images(HELICAL, first=25, ImageType=["DERIVED", "PRIMARY", "AXIAL"])
    assert sorted(stacks(images(HELICAL), derived)) == [run(1, 24), run(25, 24)]


@pytest.mark.parametrize("numbering", ["throughout", "from 1 in each range"])
def test_ranges_that_lie_apart_are_stacks_of_their_own(numbering):
    first = (11, 18) if numbering == "throughout" else (1, 1)
    hip = images(HELICAL[:10])
    knee = images(HELICAL[:7] - 400, first=first[0], AcquisitionNumber=2)
    ankle = images(HELICAL[:7] - 800, first=first[1], AcquisitionNumber=3)
    expected = [run(1, 10), run(first[0], 7), run(first[1], 7)]
    assert sorted(stacks(hip, knee, ankle)) == sorted(expected)


@pytest.mark.parametrize("lost", [3, 8, 15])
def test_a_hole_where_numbers_are_missing_is_a_loss_and_separates_nothing(lost):
    whole = images(np.arange(60) * 3.0)
    assert len(stacks(whole[:20], whole[20 + lost :])) == 1


@differences
@pytest.mark.parametrize("lost", [0, 1, 11, 21, 22, 23])
def test_a_lost_slice_of_one_pass_does_not_mix_it_with_the_other(difference, lost):
    one = images(HELICAL, **difference[0])
    other = images(HELICAL + 1.5, first=25, **difference[1])
    expected = [[number for number in run(1, 24) if number != 1 + lost], run(25, 24)]
    assert sorted(stacks(one[:lost] + one[lost + 1 :], other)) == sorted(expected)
