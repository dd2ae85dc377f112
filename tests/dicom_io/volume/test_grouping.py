import numpy as np
import pytest

from dicom_io.errors import GeometryError
from dicom_io.slices.frames import slices_of
from dicom_io.slices.passes import repeated_positions
from dicom_io.slices.slices import name_slices
from dicom_io.types import Instance, Series
from dicom_io.volume.grouping import refuse_mixture, split_stacks
from tests.ct import ct_slice

PLANE = np.zeros((4, 5))


def planes(*images):
    return slices_of(Series("1.2", tuple(Instance(None, image) for image in images)))


def images(places, **attributes):
    first = attributes.pop("first", 1)
    return [
        ct_slice(PLANE, (0, 0, z), number=first + k, **attributes) for k, z in enumerate(places)
    ]


def numbers(stacks):
    return [sorted(plane.number for plane in stack) for stack in stacks]


def test_one_stack_stays_one():
    assert numbers(split_stacks(planes(*images(range(5))))) == [[1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    "other",
    [
        {"orientation": ((1, 0, 0), (0, 0.8, 0.6))},
        {"pixel_mm": (2.0, 2.0)},
        {"ConvolutionKernel": "BONE"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    ],
)
def test_other_planes_form_a_stack_of_their_own(other):
    mixed = planes(*images(range(5)), *images([50, 60], first=6, **other))
    assert numbers(split_stacks(mixed)) == [[1, 2, 3, 4, 5], [6, 7]]
    with pytest.raises(GeometryError, match=r"images 1-5: .*; images 6-7: "):
        refuse_mixture(mixed)


def test_orientation_may_differ_by_less_than_half_a_degree():
    slightly = ((1, 0, 0), (0, np.cos(0.005), np.sin(0.005)))
    assert len(split_stacks(planes(*images(range(5)), *images([7], orientation=slightly)))) == 1


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier"])
def test_passes_over_the_same_positions_are_separated_by_what_names_them(keyword):
    first = images(range(4), **{keyword: 1})
    second = images(range(4), first=5, **{keyword: 2})
    interleaved = [image for pair in zip(first, second, strict=True) for image in pair]
    assert numbers(split_stacks(planes(*interleaved))) == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_slice_sent_twice_goes_to_a_stack_of_its_own():
    again = ct_slice(PLANE, (0, 0, 2), number=9)
    stacks = split_stacks(planes(*images(range(5)), again))
    assert numbers(stacks) == [[1, 2, 3, 4, 5], [9]]


def test_two_acquisitions_that_meet_in_one_slice_stay_together():
    first = images(range(10), AcquisitionNumber=1)
    second = images(range(9, 20), first=11, AcquisitionNumber=2)
    assert [len(stack) for stack in split_stacks(planes(*first, *second))] == [20, 1]


def test_repeated_positions_are_found_within_five_hundredths_of_a_millimetre():
    found = repeated_positions(planes(*images([0, 1, 1.04, 2, 2.1])))
    assert numbers(found) == [[2, 3]]


def test_slices_are_named_as_ranges():
    assert name_slices(planes(*images(range(3)), *images([9], first=8))) == "images 1-3, 8"
    assert name_slices(planes(*images([4]))) == "image 1"


def thicknesses(stacks):
    return [(len(stack), {plane.thickness for plane in stack}) for stack in stacks]


@pytest.mark.parametrize("thick_places", [range(0, 40, 5), np.arange(0.5, 40, 5)])
def test_a_thin_and_a_thick_reconstruction_of_one_range_are_two_stacks(thick_places):
    thin = images(range(40), SliceThickness=1)
    thick = images(thick_places, first=41, SliceThickness=5)
    assert thicknesses(split_stacks(planes(*thick, *thin))) == [(40, {1.0}), (8, {5.0})]


def test_thicknesses_that_follow_one_another_are_one_protocol():
    base = images(range(0, 24, 3), SliceThickness=3)
    rest = images(range(24, 80, 7), first=9, SliceThickness=7)
    assert len(split_stacks(planes(*base, *rest))) == 1


def test_a_thickness_that_jitters_splits_nothing():
    wobbling = [
        ct_slice(PLANE, (0, 0, z), number=z + 1, SliceThickness=1 + 0.01 * (z % 3))
        for z in range(30)
    ]
    assert len(split_stacks(planes(*wobbling))) == 1


def test_passes_that_nothing_tells_apart_are_not_guessed():
    """Numbers at random: which of two planes belongs to which pass, nobody knows."""
    shuffled = [5, 2, 4, 7, 1, 6, 8, 3]
    both = [
        ct_slice(PLANE, (0, 0, z), number=number)
        for z, number in zip([*range(4), *range(4)], shuffled, strict=True)
    ]
    (stack,) = split_stacks(planes(*both))
    assert len(repeated_positions(stack)) == 4
