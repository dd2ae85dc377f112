"""Items of encapsulated pixel data become frames, whatever the writer got wrong around them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from dicom_io.errors import UnreadableImage
from dicom_io.pixel_data.fragments import frames_of

FRAMES = [b"\xff\xd8\xff" + bytes([k]) * 33 for k in range(4)]
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


def items(*parts, table=b""):
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(p)) + p for p in (table, *parts))


@pytest.mark.parametrize("after", [DELIMITER, b"", DELIMITER + bytes(510), bytes(2), bytes(510)])
@pytest.mark.parametrize("table", [b"", bytes(16), b"\xff" * 16])
def test_neither_the_table_nor_what_follows_the_items_matters(after, table):
    assert frames_of(items(*FRAMES, table=table) + after, JPEGLosslessSV1, 4) == FRAMES


@given(st.lists(st.integers(1, 35), min_size=4, max_size=4))
def test_a_frame_may_lie_in_several_items(cuts):
    parts = [part for f, at in zip(FRAMES, cuts, strict=True) for part in (f[:at], f[at:])]
    whole = [p for p in parts if p]
    if any(at < 3 for at in cuts):  # the marker itself is cut: nothing tells where a frame begins
        return
    assert frames_of(items(*whole), JPEGLosslessSV1, 4) == FRAMES


def test_every_item_of_rle_is_a_frame():
    assert frames_of(items(b"ab", b"cd") + DELIMITER, RLELossless, 2) == [b"ab", b"cd"]


def test_frames_of_jpeg_2000_are_found_by_their_first_markers():
    frames = [b"\xff\x4f\xff\x51ab", b"\0\0\0\x0cjP  \r\n\x87\n"]
    assert frames_of(encapsulate(frames), JPEG2000Lossless, 2) == frames


@pytest.mark.parametrize("count", [1, 3, 5])
def test_another_number_of_frames_than_the_header_says_is_refused(count):
    with pytest.raises(UnreadableImage, match=f"4 frames .* says {count}"):
        frames_of(items(*FRAMES), JPEGLosslessSV1, count)


@pytest.mark.parametrize("value", [b"", b"\xff\xd8\xff", DELIMITER, items(), bytes(100)])
def test_without_items_there_are_no_frames(value):
    with pytest.raises(UnreadableImage, match="0 frames"):
        frames_of(value, JPEGLosslessSV1, 1)


def test_an_item_that_is_cut_off_is_refused():
    with pytest.raises(UnreadableImage, match="cut off"):
        frames_of(items(*FRAMES)[:-1], JPEGLosslessSV1, 4)
