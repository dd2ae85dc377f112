import numpy as np
import pytest

from dicom_io.errors import IncompleteSeries
from dicom_io.slices.frames import slices_of
from dicom_io.slices.gaps import missing_slices
from dicom_io.types import Instance, Series
from tests.ct import ct_slice

PLANE = np.zeros((2, 2))


def missing(places, numbers=None):
    numbers = numbers or range(1, len(places) + 1)
    images = [ct_slice(PLANE, (0, 0, z), number=n) for z, n in zip(places, numbers, strict=True)]
    series = Series("1.2", tuple(Instance(None, image) for image in images))
    return missing_slices(slices_of(series), np.array(places, float))


def test_an_even_stack_misses_nothing():
    assert missing(range(30)) == ()


def test_two_neighbours_may_be_missing():
    (note,) = missing([z for z in range(40) if z not in (20, 21)])
    assert note.startswith("2 slices are missing between image 20 at (0.0, 0.0, 19.0) mm")
    assert note.endswith("interpolated.")


def test_three_neighbours_are_too_many():
    with pytest.raises(IncompleteSeries, match="3 slices are missing between image 20"):
        missing([z for z in range(40) if z not in (20, 21, 22)])


def test_a_large_hole_is_refused_even_at_an_odd_distance():
    with pytest.raises(IncompleteSeries, match="gaps too large to interpolate"):
        missing([*range(20), *np.arange(25.3, 45)])


def test_a_tenth_of_the_slices_may_be_missing_but_not_more():
    assert len(missing([z for z in range(41) if z not in (5, 15, 25, 35)])) == 4
    with pytest.raises(IncompleteSeries):
        missing([z for z in range(41) if z not in (5, 12, 19, 26, 33)])


def test_one_slice_may_be_missing_of_a_short_series():
    assert len(missing([0, 1, 2, 4, 5, 6, 7])) == 1
    for too_few in ([0, 1, 2, 4, 5, 6], [0, 1, 2, 4, 5, 7, 8]):
        with pytest.raises(IncompleteSeries):
            missing(too_few)


def test_a_protocol_of_two_distances_misses_nothing():
    assert missing([*range(0, 50, 5), *range(55, 120, 10)]) == ()


def test_numbers_that_jump_tell_missing_slices_from_a_second_distance():
    places = [*range(40), *range(41, 46, 2), *range(46, 90)]
    numbers = [z + 1 for z in places]
    assert missing(places) == ()
    assert len(missing(places, numbers)) == 3


def test_numbers_that_do_not_follow_the_positions_say_nothing():
    places = [*range(0, 50, 5), *range(55, 120, 10)]
    assert missing(places, [7 * k % 17 for k in range(len(places))]) == ()
