import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dicom_io.model_input.foreground import foreground_box, value_range

volumes = arrays(np.int16, st.tuples(*[st.integers(1, 40)] * 3), elements=st.integers(0, 3))


@given(hu=volumes, above=st.integers(0, 3))
def test_the_box_is_the_smallest_that_holds_the_foreground(hu, above):
    box = foreground_box(hu, above)
    inside = np.argwhere(hu > above)
    if box is None:
        assert not len(inside)
        return
    assert [b.start for b in box] == inside.min(axis=0).tolist()
    assert [b.stop for b in box] == (inside.max(axis=0) + 1).tolist()


@given(hu=volumes, low=st.integers(-1, 1), width=st.integers(1, 4))
def test_the_range_is_that_of_the_clipped_values(hu, low, width):
    clipped = hu.clip(low, low + width)
    assert value_range(hu, low, low + width) == (clipped.min(), clipped.max())
