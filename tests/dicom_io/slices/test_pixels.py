"""Stored values: signs, unused bits, padding, transfer syntaxes, damage."""

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from dicom_io.errors import (
    GeometryError,
    IncompleteSeries,
    MissingAttribute,
    UnreadableImage,
    UnsupportedTransferSyntax,
)
from dicom_io.slices.read import read_study
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from tests.ct import ct_stack, save

AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], float)
RAMP = np.linspace(-1024, 3000, 3 * 64 * 64).astype(int).reshape(3, 64, 64)


def hu_of(images, folder):
    return build_volume(stack_of(read_study([save(images, folder)]).series[0])).hu


@pytest.mark.parametrize(
    "stored",
    [
        {"signed": False, "intercept": -1024},
        {"signed": True, "intercept": 0},
        {"signed": False, "intercept": -1024, "bits": 12},
        {"signed": True, "intercept": 1000, "bits": 13},
    ],
)
def test_signed_and_unsigned_values_become_hu(tmp_path, stored):
    np.testing.assert_array_equal(hu_of(ct_stack(RAMP, AFFINE, **stored), tmp_path), RAMP)


def test_unused_bits_do_not_reach_the_hu(tmp_path):
    images = ct_stack(RAMP, AFFINE, bits=12)
    for image in images:
        overlay = np.frombuffer(image.PixelData, "<u2") | 0xA000
        image.PixelData = overlay.astype("<u2").tobytes()
    np.testing.assert_array_equal(hu_of(images, tmp_path), RAMP)


def test_twelve_bit_negative_values_extend_their_sign(tmp_path):
    images = ct_stack(RAMP // 2, AFFINE, signed=True, intercept=0, bits=12)
    for image in images:
        cut = np.frombuffer(image.PixelData, "<u2") & 0x0FFF
        image.PixelData = cut.astype("<u2").tobytes()
    np.testing.assert_array_equal(hu_of(images, tmp_path), RAMP // 2)


def test_bits_stored_above_the_lowest_are_shifted_down(tmp_path):
    images = ct_stack(RAMP, AFFINE, bits=12)
    for image in images:
        image.HighBit = 15
        image.PixelData = (np.frombuffer(image.PixelData, "<u2") << 4).astype("<u2").tobytes()
    np.testing.assert_array_equal(hu_of(images, tmp_path), RAMP)


@pytest.mark.parametrize(
    ("padding", "becomes"),
    [
        ({"PixelPaddingValue": -2000}, -2000),  # darker than air: as stored
        ({"PixelPaddingValue": -32768}, -32768),
        ({"PixelPaddingValue": 32767}, -1024),
        ({"PixelPaddingValue": 0}, -1024),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 5}, -1024),
    ],
)
def test_padding_is_never_brighter_than_air(tmp_path, padding, becomes):
    hu = np.full((3, 16, 16), 77)
    hu[:, :3] = hu[:, -3:] = padding["PixelPaddingValue"]
    got = hu_of(ct_stack(hu, AFFINE, signed=True, intercept=0, **padding), tmp_path)
    assert set(np.unique(got)) == {becomes, 77}


def test_negative_padding_written_as_if_unsigned_is_understood(tmp_path):
    hu = np.full((3, 16, 16), 77)
    hu[:, :3] = hu[:, -3:] = -1000
    images = ct_stack(hu, AFFINE, signed=True, intercept=0)
    for image in images:
        image.add_new("PixelPaddingValue", "US", 65536 - 1000)
    assert set(np.unique(hu_of(images, tmp_path))) == {-1024, 77}


def test_water_is_not_taken_for_padding(tmp_path):
    hu = np.full((3, 16, 16), -1000)
    hu[:, 5:10, 5:10] = 0
    images = ct_stack(hu, AFFINE, signed=True, intercept=0, PixelPaddingValue=0)
    np.testing.assert_array_equal(hu_of(images, tmp_path), hu)


@pytest.mark.parametrize(("value", "limit"), [(-2000, 1000), (1000, -2000), (-2000, 40)])
def test_a_range_of_padding_that_reaches_into_tissue_cuts_none_away(tmp_path, value, limit):
    hu = np.full((3, 16, 16), 40)
    hu[:, :3] = hu[:, -3:] = value
    hu[:, 8] = -100
    padding = {"PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
    got = hu_of(ct_stack(hu, AFFINE, signed=True, intercept=0, **padding), tmp_path)
    np.testing.assert_array_equal(got, np.where(hu == 1000, -1024, hu))


def transcode(path, syntax):
    """Compress a file in place with GDCM."""
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
@pytest.mark.parametrize(
    "stored",
    [
        {"signed": True, "intercept": 0},
        {"signed": False, "intercept": -1024},
        {"signed": False, "intercept": -1024, "bits": 12},
    ],
)
def test_compressed_values_are_exact(tmp_path, syntax, stored):
    save(ct_stack(RAMP, AFFINE, **stored), tmp_path)
    for path in tmp_path.glob("*.dcm"):
        transcode(path, syntax)
    series = read_study([tmp_path]).series[0]
    assert series.header.file_meta.TransferSyntaxUID.is_encapsulated
    np.testing.assert_array_equal(build_volume(stack_of(series)).hu, RAMP)


@pytest.mark.parametrize("intercept", [0, -1024])
def test_jpeg_2000_that_says_signed_is_signed_whatever_its_header_says(tmp_path, intercept):
    images = ct_stack(RAMP // 2, AFFINE, signed=True, intercept=intercept)
    for path in save(images, tmp_path).glob("*.dcm"):
        transcode(path, "JPEG2000Lossless")
        image = pydicom.dcmread(path)
        image.PixelRepresentation = 0
        image.save_as(path)
    volume = build_volume(stack_of(read_study([tmp_path]).series[0]))
    np.testing.assert_array_equal(volume.hu, RAMP // 2)


def body(lowest=-1000):
    """Three slices of a patient in air, with lung, fat and bone, and with noise; padding around."""
    hu = np.full((3, 64, 64), -1000)
    hu[:, 12:52, 8:56] = 40
    hu[:, 20:30, 40:52], hu[:, 14:16, 10:50], hu[:, 40:44, 30:36] = -800, -100, 900
    hu += np.random.default_rng(7).integers(-20, 20, hu.shape)
    hu[:, [0, -1]] = lowest
    return hu


STORED_SIGNED = [
    *((16, 0, lowest) for lowest in (-1000, -2000, -32768)),
    *((12, 0, lowest) for lowest in (-1000, -2000)),
    *((16, -1024, lowest) for lowest in (-1000, -3024)),
    *((bits, -1024, -3024) for bits in (13, 14, 15)),
]


@pytest.mark.parametrize("syntax", ["JPEGLSLossless", "JPEGLosslessProcess14_1", None])
@pytest.mark.parametrize(("bits", "intercept", "lowest"), STORED_SIGNED)
def test_signed_values_under_a_header_that_says_unsigned(tmp_path, syntax, bits, intercept, lowest):
    hu = body(lowest)
    images = ct_stack(hu, AFFINE, signed=True, intercept=intercept, bits=bits)
    for image in images:
        image.PixelRepresentation = 0
        values = np.frombuffer(image.PixelData, "<u2") & (2**bits - 1)
        image.PixelData = values.astype("<u2").tobytes()
    for path in save(images, tmp_path).glob("*.dcm"):
        if syntax:
            transcode(path, syntax)
    np.testing.assert_array_equal(hu_of_series(tmp_path), hu)


def hu_of_series(folder):
    return volume_of(folder).hu


@pytest.mark.parametrize("bits", [12, 13, 16])
@pytest.mark.parametrize("intercept", [-1024, -2048, -32768])
@pytest.mark.parametrize("corner", [None, 1500, 3071])
def test_unsigned_values_stay_what_they_are(tmp_path, bits, intercept, corner):
    hu = body()
    hu[:, 30:34, 20:24] = min(2**bits - 1 + intercept, 3071)  # metal
    if corner is not None:
        hu[:, [0, -1]] = min(corner, 2**bits - 1 + intercept)
    if hu.max() - intercept < 2**bits and hu.max() > -500:
        images = ct_stack(hu, AFFINE, intercept=intercept, bits=bits)
        np.testing.assert_array_equal(hu_of(images, tmp_path), hu)


@pytest.mark.parametrize("metal", [1100, 2000, 2600])
def test_unsigned_values_of_12_bits_under_a_header_that_says_signed(tmp_path, metal):
    hu = body(lowest=-1024)
    hu[:, 30:34, 20:24] = metal
    images = ct_stack(hu, AFFINE, intercept=-1024, bits=12)
    for image in images:
        image.PixelRepresentation = 1
    np.testing.assert_array_equal(hu_of(images, tmp_path), hu)


@pytest.mark.parametrize("bits", [12, 16])
def test_padding_below_air_keeps_its_sign(tmp_path, bits):
    hu = np.minimum(body(lowest=-2000 - 1024), 1023)
    images = ct_stack(hu, AFFINE, signed=True, intercept=-1024, bits=bits)
    for image in images:
        image.PixelData = (
            (np.frombuffer(image.PixelData, "<u2") & (2**bits - 1)).astype("<u2").tobytes()
        )
    np.testing.assert_array_equal(hu_of(images, tmp_path), hu)


def test_values_that_are_no_hu_in_either_way_are_refused(tmp_path):
    noise = np.random.default_rng(8).integers(0, 65536, (3, 64, 64))
    images = ct_stack(noise, AFFINE, intercept=0)
    with pytest.raises(IncompleteSeries, match=r"values reach 655\d\d HU, and are no signed"):
        hu_of(images, tmp_path)


def test_deflated_files_are_read(tmp_path):
    images = ct_stack(RAMP, AFFINE, transfer_syntax=DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(hu_of(images, tmp_path), RAMP)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_uncompressed_syntax_is_read(tmp_path, syntax):
    images = ct_stack(RAMP, AFFINE)
    for image in images:
        if syntax == ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
            image["PixelData"].VR = "OW"
        image.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(hu_of(images, tmp_path), RAMP)


@pytest.mark.parametrize("side", [16, 15])
def test_bytes_written_as_big_endian_words_are_in_order(tmp_path, side):
    hu = np.arange(3 * side**2).reshape(3, side, side) % 256
    images = ct_stack(hu, AFFINE, intercept=0, bits=8)
    for image, plane in zip(images, hu, strict=True):
        image.BitsAllocated = 8
        even = plane.astype("u1").tobytes() + b"\0" * (side % 2)
        image.PixelData = np.frombuffer(even, "<u2").astype(">u2").tobytes()
        image["PixelData"].VR = "OW"
        image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    np.testing.assert_array_equal(hu_of(images, tmp_path), hu)


def test_a_syntax_that_cannot_be_decoded_is_named(tmp_path):
    images = ct_stack(RAMP, AFFINE, transfer_syntax=RLELossless)
    for image in images:
        image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    with pytest.raises(UnsupportedTransferSyntax, match="image 1: no decoder for MPEG2"):
        hu_of(images, tmp_path)


def test_a_private_syntax_is_named_and_costs_only_its_images(tmp_path):
    folder = save(ct_stack(np.repeat(RAMP, 4, axis=0), AFFINE), tmp_path)
    first = [p for p in folder.iterdir() if pydicom.dcmread(p).InstanceNumber == 5]
    for paths in (first, folder.iterdir()):
        for path in paths:
            private = path.read_bytes().replace(
                b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2.9", 1
            )
            path.write_bytes(private)
        if paths is first:
            assert "no decoder for 1.2.840.113619.5.2.9" in volume_of(folder).unreadable[0]
    with pytest.raises(UnsupportedTransferSyntax, match=r"no decoder for 1\.2\.840\.113619"):
        volume_of(folder)


def volume_of(folder):
    return build_volume(stack_of(read_study([folder]).series[0]))


def test_damaged_compressed_data_names_the_image(tmp_path):
    images = ct_stack(RAMP, AFFINE)
    for image in images:
        image.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff nonsense"])
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
    with pytest.raises(IncompleteSeries, match=r"image 1: its pixel data is no JPEG stream"):
        hu_of(images, tmp_path)


def test_a_file_cut_off_in_its_pixels_is_named(tmp_path):
    save(ct_stack(RAMP, AFFINE), tmp_path)
    victim = next(tmp_path.glob("*.dcm"))
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(IncompleteSeries, match=r"image \d: cut off, with \d+ of \d+ bytes"):
        build_volume(stack_of(read_study([tmp_path]).series[0]))


def test_more_pixels_than_the_header_says_are_refused(tmp_path):
    with pytest.raises(UnreadableImage, match=r"image \d: 8192 bytes of pixel data, .* says 4096"):
        hu_of(ct_stack(RAMP, AFFINE, Columns=32), tmp_path)


def test_padding_after_the_pixels_is_passed_over(tmp_path):
    images = ct_stack(RAMP, AFFINE)
    for image in images:
        image.PixelData += bytes(512)
    np.testing.assert_array_equal(hu_of(images, tmp_path), RAMP)


def test_a_slope_that_leaves_whole_numbers_of_32_bits_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="RescaleSlope of 9e"):
        hu_of(ct_stack(RAMP, AFFINE, RescaleSlope=90000), tmp_path)


def test_ct_without_rescaling_is_refused(tmp_path):
    with pytest.raises(MissingAttribute, match=r"image \d: no RescaleSlope"):
        hu_of(ct_stack(RAMP, AFFINE, RescaleIntercept=None), tmp_path)


@pytest.mark.parametrize("kind", ["j2k", "jpeg", "jpegls", "rle"])
def test_real_compressed_series_decode_alike(cases, kind):
    reference = build_volume(stack_of(read_study([cases / "compressed" / "compressed"]).series[0]))
    volume = build_volume(
        stack_of(read_study([cases / "compressed" / f"compressed_{kind}"]).series[0])
    )
    np.testing.assert_array_equal(volume.hu, reference.hu)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [12, 16])
def test_pixels_read_from_the_file_are_those_that_pydicom_gives(tmp_path, signed, bits):
    intercept = 0 if signed else -1024
    images = ct_stack(RAMP, AFFINE, signed=signed, bits=bits, intercept=intercept)
    for image in images:  # what stands in unused bits is of any value
        image.PixelData = (
            np.frombuffer(image.PixelData, np.uint16) ^ (0xA000 if bits == 12 else 0)
        ).tobytes()
    volume = hu_of(images, tmp_path)
    decoded = np.stack([image.pixel_array for image in images])
    np.testing.assert_array_equal(volume, decoded.astype(int) + intercept)
