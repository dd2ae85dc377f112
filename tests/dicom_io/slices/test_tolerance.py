"""What other archives take, and what one image that cannot be read costs: itself."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from dicom_io.characters import settle_text
from dicom_io.errors import IncompleteSeries, NoUsableSeries
from dicom_io.slices.read import read_studies, read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from tests.ct import ct_stack, save

AFFINE = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], float)
HU = np.arange(24 * 256).reshape(24, 16, 16) - 1000
SYNTAXES = pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless]
)


def written(folder, syntax=ExplicitVRLittleEndian, **attributes) -> list[Path]:
    """The files of a series of 24 slices, in the order of the slices."""
    paths = []
    for k, image in enumerate(ct_stack(HU, AFFINE, **attributes)):
        if syntax.is_encapsulated:
            image.compress(syntax)
        image.file_meta.TransferSyntaxUID = syntax
        paths.append(folder / f"{k:02}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def volume_of(folder):
    return build_volume(choose_series(read_study([folder])).stack)


@SYNTAXES
@pytest.mark.parametrize("count", [1, 2, 8, 510])
def test_zeros_after_the_last_element_are_not_looked_at(tmp_path, syntax, count):
    for path in written(tmp_path, syntax):
        path.write_bytes(path.read_bytes() + bytes(count))
    np.testing.assert_array_equal(volume_of(tmp_path).hu, HU)


@pytest.mark.parametrize("vr", [b"\0\0", b"  ", b"??"])
@pytest.mark.parametrize(
    "after", [b"\x08\x00\x60\x00CS", b"\x20\x00\x0d\x00UI", b"\x28\x00\x02\x00US"]
)
def test_an_element_without_a_vr_is_skipped(tmp_path, vr, after):
    for path in written(tmp_path):
        whole = path.read_bytes()
        at = whole.index(after)
        group = after[:2] if after[0] != 0x08 else b"\x07\x00"
        odd = bytes([group[0] - 1, 0, 1, 0x10]) + vr + b"\x04\x00ABCD"
        path.write_bytes(whole[:at] + odd + whole[at:])
    np.testing.assert_array_equal(volume_of(tmp_path).hu, HU)


@pytest.mark.parametrize("stated", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_data_set_is_read_as_it_is_encoded(tmp_path, stated):
    implicit = stated == ExplicitVRLittleEndian
    for path in written(tmp_path, ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian):
        whole = path.read_bytes()
        old = b"1.2.840.10008.1.2\0" if implicit else b"1.2.840.10008.1.2.1\0"
        new = b"1.2.840.10008.1.2.1\0" if implicit else b"1.2.840.10008.1.2\0"
        at = whole.index(b"\x02\x00\x10\x00UI")
        group_length = 140  # of (0002,0000), PS3.10 7.1
        length = int.from_bytes(whole[group_length : group_length + 4], "little")
        changed = length + len(new) - len(old)
        value = at + 8
        assert whole[value : value + len(old)] == old
        path.write_bytes(
            whole[:group_length]
            + changed.to_bytes(4, "little")
            + whole[group_length + 4 : at + 6]
            + len(new).to_bytes(2, "little")
            + new
            + whole[value + len(old) :]
        )
    np.testing.assert_array_equal(volume_of(tmp_path).hu, HU)


@pytest.mark.parametrize("uid", ["1.2.0003.4", "1." + "9" * 64, "1." + "9" * 68])
def test_uids_are_taken_as_archives_take_them(tmp_path, uid, caplog):
    for path in written(tmp_path):
        image = dcmread(path)
        image.add(DataElement("StudyInstanceUID", "UI", uid, validation_mode=IGNORE))
        image.save_as(path)
    study = read_study([tmp_path])
    assert study.study_instance_uid == uid
    told = [one for one in caplog.messages if "longer than 64 characters: StudyInstance" in one]
    assert bool(told) == (len(uid) > 64)


def test_a_uid_beyond_all_measure_is_damage(tmp_path):
    for path in written(tmp_path):
        image = dcmread(path)
        image.add(DataElement("SOPInstanceUID", "UI", "1" * 71, validation_mode=IGNORE))
        image.save_as(path, enforce_file_format=False)
    with pytest.raises(NoUsableSeries, match="damaged DICOM file without SOPInstanceUID"):
        read_study([tmp_path])


@pytest.mark.parametrize("angle", [0.1, 0.3, 0.7, 1.2])
def test_an_orientation_of_two_decimals_is_normalised(tmp_path, angle):
    turned = [np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0]
    written(tmp_path, ImageOrientationPatient=[f"{x:.2f}" for x in turned])
    volume = volume_of(tmp_path)
    np.testing.assert_array_equal(volume.hu, HU)
    np.testing.assert_allclose(volume.spacing_mm, (3, 2, 2), rtol=1e-9)


@pytest.mark.parametrize(
    ("centre", "width", "window"),
    [
        ("40", "400", (40, 400)),
        ("40,5", "400,0", (40.5, 400)),
        ("40\\", "400\\", (40, 400)),
        ("", "400", None),
        ("soft", "400", None),
        ("40", "1e999", None),
    ],
)
def test_a_window_costs_nothing(tmp_path, centre, width, window):
    for path in written(tmp_path, WindowCenter="1234567", WindowWidth="7654321"):
        whole = path.read_bytes()
        for placeholder, wanted in (("1234567", centre), ("7654321", width)):
            assert placeholder.encode() in whole
            whole = whole.replace(placeholder.encode(), wanted.ljust(7).encode())
        path.write_bytes(whole)
    stack = choose_series(read_study([tmp_path])).stack
    assert stack.window == window
    np.testing.assert_array_equal(build_volume(stack).hu, HU)


@pytest.mark.parametrize(
    "padding",
    [("US", [63536, 0]), ("OB", b"\x30\xf8"), ("OB", b"\x30"), ("LO", "none"), ("FD", 1e300)],
)
def test_padding_costs_nothing(tmp_path, padding):
    for image in (images := ct_stack(HU, AFFINE)):
        image.add(DataElement("PixelPaddingValue", *padding, validation_mode=IGNORE))
    np.testing.assert_array_equal(volume_of(save(images, tmp_path)).hu, HU)


def deflated(path, change):
    image = dcmread(path)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    begins = 144 + int.from_bytes(whole[140:144], "little")
    path.write_bytes(whole[:begins] + change(whole[begins:]))


def with_header_of_zlib(packed):
    return zlib.compress(zlib.decompress(packed, -zlib.MAX_WBITS))


def bomb(packed):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(bytes(2**27)) + packer.flush()


@pytest.mark.parametrize(
    "damage",
    [with_header_of_zlib, bomb, lambda p: p[: len(p) // 2], lambda p: b"\xff" * len(p)],
    ids=["zlib", "bomb", "cut", "noise"],
)
def test_a_damaged_deflated_file_is_one_image_and_named(tmp_path, damage):
    for k, path in enumerate(written(tmp_path)):
        deflated(path, damage if k == 7 else lambda packed: packed)
    study = read_study([tmp_path])
    assert study.damaged == study.ignored
    assert study.damaged[0].startswith("07.dcm: its deflated data set")
    volume = build_volume(choose_series(study).stack)
    assert volume.hu.shape == HU.shape
    np.testing.assert_array_equal(np.delete(volume.hu, 7, 0), np.delete(HU, 7, 0))


def test_a_damaged_file_may_belong_to_any_study(tmp_path):
    written(tmp_path)
    (tmp_path / "z.dcm").write_bytes((tmp_path / "00.dcm").read_bytes()[:400])
    (tmp_path / "notes.txt").write_text("no image")
    (study,) = read_studies([tmp_path])
    assert [told.partition(":")[0] for told in study.damaged] == ["z.dcm"]
    assert len(study.ignored) == 2


def spoil(path):
    """Cut the stream of a compressed image after its frame header."""
    whole = path.read_bytes()
    at = whole.rindex(b"\xff\xda" if b"\xff\xda" in whole else b"\xfe\xff\x00\xe0") + 12
    path.write_bytes(whole[:at] + bytes(len(whole) - at - 8) + whole[-8:])


@pytest.mark.parametrize("lost", [[0], [11], [23], [5, 17]], ids=str)
def test_unreadable_images_are_left_out_and_named(tmp_path, lost):
    paths = written(tmp_path, JPEGLSLossless)
    for k in lost:
        spoil(paths[k])
    volume = volume_of(tmp_path)
    named = [f"image {k + 1}: its pixel data" for k in lost]
    assert all(told.startswith(n) for told, n in zip(volume.unreadable, named, strict=True))
    kept = [k for k in range(24) if k not in lost]
    for k in kept:
        np.testing.assert_array_equal(volume.hu[k - kept[0]], HU[k])
    assert len(volume.sop_instance_uids) == len(kept)


@pytest.mark.parametrize("size", [(8, 33), (15, 16), (16, 17), (64, 64)], ids=str)
@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_an_image_of_another_size_than_its_stream_is_never_drawn(tmp_path, size, syntax):
    for path in written(tmp_path, syntax):
        image = dcmread(path)
        image.Rows, image.Columns = size
        image.save_as(path)
    with pytest.raises(IncompleteSeries, match="where the header says"):
        volume_of(tmp_path)


@pytest.mark.parametrize("stated", ["0", "-1", "", "one"])
def test_an_odd_number_of_frames_of_a_single_image_costs_nothing(tmp_path, stated):
    for path in written(tmp_path, JPEGLSLossless):
        image = dcmread(path)
        image.NumberOfFrames = "9876"
        image.save_as(path)
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"9876", stated.ljust(4).encode()))
    np.testing.assert_array_equal(volume_of(tmp_path).hu, HU)


def test_too_many_unreadable_images_are_no_volume(tmp_path):
    for path in written(tmp_path, JPEGLSLossless)[3:12:2]:
        spoil(path)
    with pytest.raises(IncompleteSeries, match=r"image 4: its pixel data.*given up, of 24 slices"):
        build_volume(stack_of(read_study([tmp_path]).series[0]))


ODD_SETS = [
    *(b"ISO_IR\0 100 ", b"ISO_IR 1\x0000", b"ISO_IR 100\0?", b"  ISO_IR 100", b"\0\0ISO_IR 100"),
    *(b"LATIN1", b"\xff\xfe\0\x01", b"rot13 ", b"hex ", b"\0\0", b"ISO_IR 999"),
]


@pytest.mark.parametrize(
    ("vr", "odd"),
    [
        *((b"CS", odd) for odd in ODD_SETS),
        *((vr, odd) for vr in (b"LO", b"UI", b"US", b"UN") for odd in ODD_SETS[:1]),
    ],
)
def test_an_odd_character_set_costs_nothing(tmp_path, vr, odd):
    odd += b" " * (len(odd) % 2)
    length = len(odd).to_bytes(4 if vr == b"UN" else 2, "little")
    element = b"\x08\0\x05\0" + vr + (b"\0\0" if vr == b"UN" else b"") + length + odd
    for path in written(tmp_path)[:8]:
        whole = path.read_bytes()
        at = whole.index(b"\x08\x00\x08\x00CS")  # ImageType begins the data set
        whole = whole[:at] + element + whole[at:]
        path.write_bytes(whole.replace(b"Test^Torso", b"M\xfcll^Torso", 1))
    study = read_study([tmp_path])
    np.testing.assert_array_equal(build_volume(choose_series(study).stack).hu, HU)
    header = study.series[0].instances[0].header
    settle_text(header, "PatientName", "ISO_IR 100")
    assert str(header.PatientName).startswith("Müll^Torso")
