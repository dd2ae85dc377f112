"""Numbers read from the bytes of a header equal pydicom's, and odd ones are left to it."""

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_io.values import leading_number, numbers_in, whole_number


def header_with(keyword: str, vr: str | None, value: bytes, little: bool = True) -> Dataset:
    header = Dataset()
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, vr is None, little)
    return header


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "numbers"),
    [
        ("PixelSpacing", "DS", b"0.75\\ 1e0 ", (0.75, 1.0)),
        ("PixelSpacing", None, b"0.75\\0.8", (0.75, 0.8)),
        ("InstanceNumber", "IS", b" 12 ", (12,)),
        ("Rows", "US", b"\x00\x02", (512,)),
    ],
)
def test_plain_numbers_are_those_that_pydicom_finds(keyword, vr, value, numbers):
    found = numbers_in(header_with(keyword, vr, value), keyword)
    assert found == numbers
    by_pydicom = header_with(keyword, vr, value).get(keyword)
    assert list(numbers) == (by_pydicom if len(numbers) > 1 else [by_pydicom])


def test_the_byte_order_is_that_of_the_file():
    assert numbers_in(header_with("Rows", "US", b"\x02\x00", little=False), "Rows") == (512,)


@pytest.mark.parametrize("value", [b"", b"\x00\x02\x00\x03"])
def test_other_than_one_number_of_two_bytes_is_left_to_pydicom(value):
    found = numbers_in(header_with("Rows", "US", value), "Rows")
    assert found == header_with("Rows", "US", value).get("Rows")


def test_a_value_that_was_converted_before_is_given_as_it_is():
    header = header_with("PixelSpacing", "DS", b"1\\2")
    assert numbers_in(header, "PixelSpacing") == tuple(header.PixelSpacing)
    assert numbers_in(header, "PixelSpacing") == header.PixelSpacing


@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
@pytest.mark.parametrize("value", [b"x", b"1\\2", b""])
def test_what_is_no_whole_number_is_not_believed(value):
    assert whole_number(header_with("InstanceNumber", "IS", value), "InstanceNumber", 7) == 7


@pytest.mark.parametrize("value", [b"1_0", "\N{ARABIC-INDIC DIGIT ONE}".encode()])
def test_what_only_python_takes_for_a_number_is_none(value):
    for keyword, vr in (("SliceThickness", "DS"), ("InstanceNumber", "IS"), ("KVP", None)):
        assert numbers_in(header_with(keyword, vr, value), keyword) is None
        assert leading_number(header_with(keyword, vr, value), keyword) is None
        assert whole_number(header_with(keyword, vr, value), keyword, 7) == 7
