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


@pytest.mark.parametrize("left", [1, 20, 40, 60, 80])
def test_frames_that_are_cut_off_with_the_file_are_empty(left):
    whole = items(*FRAMES)[: -44 * 2 + left]
    assert frames_of(whole, JPEGLosslessSV1, 4) == [*FRAMES[:2], *cut(left)]


def cut(left):
    """What is there of the last two frames, of 36 bytes after a head of 8 each."""
    return [FRAMES[2] if left >= 44 else b"", b""]


@given(st.sets(st.integers(0, 3), max_size=3))
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, RLELossless])
def test_an_empty_item_is_a_lost_frame(syntax, lost):
    wanted = [b"" if k in lost else frame for k, frame in enumerate(FRAMES)]
    assert frames_of(items(*wanted) + DELIMITER, syntax, 4) == wanted


VARIED = [b"\xff\xd8\xff" + bytes([k]) * (31 + 2 * k) for k in range(6)]
TABLE = struct.pack("<6L", *(sum(8 + len(f) for f in VARIED[:k]) for k in range(6)))


@given(st.sets(st.integers(0, 4), min_size=1, max_size=4))
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, RLELossless])
def test_the_offset_table_tells_which_frames_are_lost(syntax, lost):
    left = [frame for k, frame in enumerate(VARIED) if k not in lost]
    found = frames_of(items(*left, table=TABLE) + DELIMITER, syntax, 6)
    for k, frame in enumerate(found):  # nothing is ever put in another's place
        assert frame in (b"", VARIED[k])
    assert found[:-1] == [b"" if k in lost else frame for k, frame in enumerate(VARIED[:-1])]


def test_frames_of_one_length_are_not_guessed_apart():
    frames = [b"\xff\xd8\xff" + bytes([k]) * 33 for k in range(6)]
    table = struct.pack("<6L", *(44 * k for k in range(6)))
    left = [*frames[:3], *frames[4:]]
    assert frames_of(items(*left, table=table), RLELossless, 6) == [b""] * 6


@pytest.mark.parametrize("table", [b"", bytes(24), b"\xff" * 24, TABLE[:-4]])
def test_without_a_table_that_fits_nothing_tells_which_frames_are_lost(table):
    with pytest.raises(UnreadableImage, match=r"5 frames .* says 6; nothing tells which are lost"):
        frames_of(items(*VARIED[:3], *VARIED[4:], table=table) + DELIMITER, RLELossless, 6)
