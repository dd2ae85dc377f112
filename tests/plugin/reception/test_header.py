from __future__ import annotations

import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydicom import Dataset, Sequence
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from dicom_io.device import DEVICE_UID
from dicom_io.errors import DicomError, MissingAttribute
from plugin.reception.header import read_beginning, read_header, valid_uid


def a_dataset() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.1"
    dataset.Modality = "CT"
    dataset.AccessionNumber = "A1"
    item = Dataset()
    item.CodeValue = "T-D4000"
    dataset.AnatomicRegionSequence = Sequence([item])
    dataset.add(DataElement(0x7FE00010, "OW", bytes(64)))
    return dataset


def encode(dataset: Dataset, *, implicit: bool = False, little: bool = True) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=little)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("syntax", "data"),
    [
        (ExplicitVRLittleEndian, encode(a_dataset())),
        (ImplicitVRLittleEndian, encode(a_dataset(), implicit=True)),
        (ExplicitVRBigEndian, encode(a_dataset(), little=False)),
    ],
)
def test_the_few_values_are_read_from_every_encoding(syntax: str, data: bytes) -> None:
    header = read_header(data, syntax)
    assert header.sop_instance_uid == "1.2.3.4"
    assert header.study_instance_uid == "1.2.3"
    assert header.series_instance_uid == "1.2.3.1"
    assert header.modality == "CT"
    assert header.accession_number == "A1"
    assert not header.own


@given(st.integers(min_value=0, max_value=5000))
def test_of_the_beginning_the_same_is_read_or_nothing(cut: int) -> None:
    dataset = a_dataset()
    dataset.PixelData = bytes(range(256)) * 8
    data = encode(dataset)
    beginning = bytearray(data[:cut])
    found = read_beginning(beginning, len(data), ExplicitVRLittleEndian)
    pixels = len(data) - len(dataset.PixelData)
    assert found == (read_header(data, ExplicitVRLittleEndian) if cut >= pixels else None)
    # Cut off, or with something after it, it is read in full, and refused
    for size in (len(data) - 2, len(data) + 2):
        if cut < size:
            assert read_beginning(beginning[:size], size, ExplicitVRLittleEndian) is None


def test_zeros_at_the_end_of_a_beginning_do_not_end_a_data_set() -> None:
    data = encode(a_dataset())
    beginning = bytearray(data + bytes(100))
    assert read_beginning(beginning, len(beginning) + 1, ExplicitVRLittleEndian) is None
    assert read_beginning(beginning, len(beginning), ExplicitVRLittleEndian) is not None


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def test_a_deflated_data_set_is_read() -> None:
    data = deflate(encode(a_dataset()))
    assert read_header(data, DeflatedExplicitVRLittleEndian).sop_instance_uid == "1.2.3.4"


def a_bomb(inflated: int) -> bytes:
    dataset = a_dataset()
    dataset.PixelData = bytes(inflated)
    return deflate(encode(dataset))


def test_a_deflated_data_set_that_grows_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    data = a_bomb(2**28)
    assert len(data) < 2**20
    tracemalloc.start()
    with pytest.raises(DicomError, match="grows to more than 64 MB"):
        read_header(data, DeflatedExplicitVRLittleEndian, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22
    assert list(tmp_path.iterdir()) == []


def test_an_empty_image_may_deflate_to_nearly_nothing(tmp_path: Path) -> None:
    data = a_bomb(2**25)
    assert len(data) < 2**16
    assert read_header(data, DeflatedExplicitVRLittleEndian, tmp_path).sop_instance_uid == "1.2.3.4"


@given(st.binary(max_size=300))
def test_noise_in_place_of_a_deflated_data_set_is_refused(noise: bytes) -> None:
    with pytest.raises(DicomError):
        read_header(noise, DeflatedExplicitVRLittleEndian)


def test_a_truncated_deflated_data_set_is_refused() -> None:
    data = deflate(encode(a_dataset()))[:-8]
    with pytest.raises(DicomError, match="truncated"):
        read_header(data, DeflatedExplicitVRLittleEndian)


def test_encapsulated_pixel_data_is_walked_to_its_end() -> None:
    fragments = (
        b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xd8\xff\xd9"
    )
    dataset = a_dataset()
    del dataset[0x7FE00010]
    whole = encode(dataset) + fragments + b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    assert read_header(whole, JPEGLosslessSV1).modality == "CT"
    with pytest.raises(DicomError, match="truncated"):
        read_header(whole[:-8], JPEGLosslessSV1)


@given(st.integers(min_value=1))
def test_every_truncation_is_noticed(cut: int) -> None:
    data = encode(a_dataset())
    kept = len(data) - 1 - cut % (len(data) - 1)
    assume(kept != len(data) - 12 - 64)  # between two elements: a whole data set without pixels
    with pytest.raises((DicomError, MissingAttribute)):
        read_header(data[:kept], ExplicitVRLittleEndian)


@given(st.binary(max_size=400))
def test_garbage_raises_nothing_but_our_errors(data: bytes) -> None:
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        with pytest.raises(DicomError):
            read_header(data, syntax)


def test_sequences_of_undefined_length_are_walked() -> None:
    dataset = a_dataset()
    dataset["AnatomicRegionSequence"].is_undefined_length = True
    dataset.AnatomicRegionSequence[0].is_undefined_length_sequence_item = True
    assert read_header(encode(dataset), ExplicitVRLittleEndian).accession_number == "A1"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_missing_uid_is_named(keyword: str) -> None:
    dataset = a_dataset()
    delattr(dataset, keyword)
    with pytest.raises(MissingAttribute, match=keyword):
        read_header(encode(dataset), ExplicitVRLittleEndian)


@pytest.mark.parametrize("uid", ["", "..", "../../etc", "1/2", ".1", "1.2\0", "1" * 71, "1.2\n"])
def test_what_is_no_uid_becomes_no_file_name(uid: str) -> None:
    assert not valid_uid(uid)


@pytest.mark.parametrize("uid", ["1.02.003", "0.1", "1." + "2" * 68])
def test_a_uid_may_be_what_archives_take(uid: str) -> None:
    dataset = a_dataset()
    dataset.add(DataElement("StudyInstanceUID", "UI", uid, validation_mode=IGNORE))
    assert read_header(encode(dataset), ExplicitVRLittleEndian).study_instance_uid == uid


@pytest.mark.parametrize("after", [bytes(2), bytes(510), bytes(7)])
def test_zeros_after_the_last_element_are_no_element(after: bytes) -> None:
    for syntax, implicit in ((ExplicitVRLittleEndian, False), (ImplicitVRLittleEndian, True)):
        data = encode(a_dataset(), implicit=implicit)
        assert read_header(data + after, syntax) == read_header(data, syntax)
    with pytest.raises(DicomError):
        read_header(encode(a_dataset()) + after + b"1", ExplicitVRLittleEndian)


@pytest.mark.parametrize("vr", [b"\0\0", b"  ", b"??"])
def test_an_element_without_a_vr_is_passed_over(vr: bytes) -> None:
    data = encode(a_dataset())
    at = data.index(b"\x20\x00\x0d\x00UI")
    odd = b"\x13\x00\x01\x10" + vr + b"\x04\x00ABCD"
    found = read_header(data[:at] + odd + data[at:], ExplicitVRLittleEndian)
    assert found == read_header(data, ExplicitVRLittleEndian)


def test_our_own_objects_are_known_by_their_device() -> None:
    dataset = a_dataset()
    dataset.DeviceUID = DEVICE_UID
    assert read_header(encode(dataset), ExplicitVRLittleEndian).own
