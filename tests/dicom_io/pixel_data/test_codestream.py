"""What a codestream says of itself against the header, before anything decodes it."""

import struct
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from dicom_io.errors import UnreadableImage
from dicom_io.pixel_data.codestream import (
    CodedImage,
    coded_image,
    has_sign,
    refuse_disagreement,
)
from dicom_io.pixel_data.layout import PixelLayout

LAYOUT = PixelLayout(24, 40, 16, 12, 11, signed=False)


def jpeg(rows=24, columns=40, bits=12, components=1, marker=0xC3, before=b""):
    head = struct.pack(">HBHHB", 8 + 3 * components, bits, rows, columns, components)
    return b"\xff\xd8" + before + bytes([0xFF, marker]) + head + b"\x01\x11\x00" * components


def jpeg_2000(rows=24, columns=40, bits=12, components=1, left=0, top=0, sign=0):
    size = struct.pack(">HHLLLL", 0, 0, columns + left, rows + top, left, top)
    depths = bytes([sign << 7 | bits - 1, 1, 1]) * components
    return b"\xff\x4f\xff\x51" + size + bytes(16) + struct.pack(">H", components) + depths


def rle(pixels=24 * 40, segments=2):
    runs, rest = divmod(pixels, 128)
    segment = bytes([0x81, 7]) * runs + (bytes([rest - 1]) + bytes(rest) if rest else b"")
    offsets = [64 + k * len(segment) for k in range(segments)]
    head = struct.pack("<16L", segments, *offsets, *[0] * (15 - segments))
    return head + segment * segments


STREAMS = {
    "JPEG lossless": (JPEGLosslessSV1, jpeg),
    "JPEG-LS": (JPEGLSLossless, lambda **said: jpeg(marker=0xF7, **said)),
    "JPEG after other segments": (
        JPEGLosslessSV1,
        lambda **said: jpeg(before=b"\xff\xe0\x00\x04ab\xff\xff\xff\xc4\x00\x03c", **said),
    ),
    "JPEG 2000": (JPEG2000Lossless, jpeg_2000),
    "JPEG 2000 in a file": (JPEG2000Lossless, lambda **said: b"\0\0\0\x0cjP  " + jpeg_2000(**said)),
    "JPEG 2000 off the origin": (JPEG2000Lossless, lambda **s: jpeg_2000(left=3, top=9, **s)),
}
ALL = pytest.mark.parametrize(("syntax", "stream"), STREAMS.values(), ids=STREAMS)


@ALL
def test_a_stream_that_is_what_its_header_says_is_taken(syntax, stream):
    assert coded_image(stream()) == CodedImage(24, 40, 1, 12)
    for bits in (12, 14, 16):  # of as many as are stored, or allocated
        refuse_disagreement(stream(bits=bits), syntax, LAYOUT)


@ALL
@pytest.mark.parametrize(
    "said",
    [
        {"rows": 23},
        {"columns": 41},
        {"rows": 40, "columns": 24},
        {"rows": 65344},
        {"rows": 0},
        {"bits": 8},
        {"bits": 11},
        {"components": 3},
    ],
    ids=str,
)
def test_a_stream_that_disagrees_is_refused(syntax, stream, said):
    with pytest.raises(UnreadableImage, match="its pixel data"):
        refuse_disagreement(stream(**said), syntax, LAYOUT)


@pytest.mark.parametrize("sign", [0, 1])
def test_only_jpeg_2000_says_that_its_values_are_signed(sign):
    assert has_sign(jpeg_2000(sign=sign), JPEG2000Lossless) == sign
    assert coded_image(jpeg_2000(sign=sign)).bits == 12
    assert not has_sign(jpeg(), JPEGLosslessSV1)
    assert not has_sign(rle(), RLELossless)


def test_more_bits_than_are_allocated_are_refused():
    narrow = replace(LAYOUT, bits_allocated=8, bits_stored=8, high_bit=7)
    with pytest.raises(UnreadableImage, match="has 12 bits, where the header says 8 in 8"):
        refuse_disagreement(jpeg(bits=12), JPEGLosslessSV1, narrow)


@pytest.mark.parametrize("said", [{"pixels": 959}, {"pixels": 961}, {"pixels": 4096}])
def test_rle_of_another_number_of_pixels_is_refused(said):
    refuse_disagreement(rle(), RLELossless, LAYOUT)
    with pytest.raises(UnreadableImage, match="pixels, where the header says 960"):
        refuse_disagreement(rle(**said), RLELossless, LAYOUT)


@pytest.mark.parametrize("segments", [0, 1, 3, 15])
def test_rle_of_another_number_of_segments_is_refused(segments):
    with pytest.raises(UnreadableImage, match="segments, not 2"):
        refuse_disagreement(rle(segments=segments), RLELossless, LAYOUT)


@given(
    st.sampled_from([JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless]),
    st.sampled_from(
        [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x02\0\0\0\x40\0\0\0"]
    ),
    st.binary(max_size=200),
)
@example(JPEGLosslessSV1, b"\xff\xd8", b"\xff" * 50)
def test_no_stream_does_anything_but_agree_or_be_refused(syntax, begins, rest):
    with pytest.raises(UnreadableImage):
        refuse_disagreement(begins + rest, syntax, LAYOUT)


@pytest.mark.parametrize("stream", [jpeg(), jpeg_2000(), rle()], ids=["JPEG", "JPEG 2000", "RLE"])
def test_a_stream_that_is_cut_off_is_refused(stream):
    syntax = RLELossless if stream.startswith(b"\x02") else JPEGLosslessSV1
    for length in range(12):  # the frame header of JPEG ends there
        with pytest.raises(UnreadableImage):
            refuse_disagreement(stream[:length], syntax, LAYOUT)
