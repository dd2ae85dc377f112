"""Which series a reader would take, and what is said about the others."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_io.errors import NoUsableSeries
from dicom_io.slices.read import read_study
from dicom_io.types import Instance, Series, Study
from dicom_io.volume.series import choose_series
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from tests.ct import ct_slice, ct_stack, save

PLANE = np.zeros((4, 5))


def axial(n, spacing, **attributes):
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [spacing, 0, 0, 0], [0, 0, 0, 1]], float)
    thickness = attributes.pop("SliceThickness", spacing)
    number = attributes.setdefault("SeriesNumber", 2)
    attributes.setdefault("SeriesInstanceUID", f"1.2.3.{number}")
    return ct_stack(np.zeros((n, 4, 5)), affine, SliceThickness=thickness, **attributes)


def coronal(n, spacing, **attributes):
    affine = np.array([[0, 0, 1, 0], [spacing, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
    number = attributes.setdefault("SeriesNumber", 7)
    return ct_stack(np.zeros((n, 4, 5)), affine, SeriesInstanceUID=f"1.2.3.{number}", **attributes)


def choose(folder, *stacks):
    for k, images in enumerate(stacks):
        save(images, folder / str(k))
    return choose_series(read_study([folder]))


def taken(choice):
    return choice.series.header.SeriesNumber


def reason(choice, number):
    return next(r.reason for r in choice.rejected if r.series.header.SeriesNumber == number)


def test_a_head_study_of_three_reconstructions_gives_the_thin_soft_one(tmp_path):
    choice = choose(
        tmp_path,
        axial(30, 5, SeriesNumber=2, ConvolutionKernel="H31s"),
        axial(150, 1, SeriesNumber=3, ConvolutionKernel="H70h"),
        axial(120, 1.25, SeriesNumber=4, ConvolutionKernel="H31s"),
    )
    assert taken(choice) == 4
    assert choice.reason == (
        "series 4 (120 images): axial, primary, 120 slices of 1.25 mm over 149 mm, soft kernel H31s"
    )
    assert "sharp kernel H70h, and a softer one exists (taken: series 4" in reason(choice, 3)
    assert reason(choice, 2).startswith("slices of 5 mm, and thinner ones exist")


def test_localizers_captures_and_projections_are_left_out_by_name(tmp_path):
    choice = choose(
        tmp_path,
        axial(6, 5),
        axial(2, 5, SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        axial(9, 5, SeriesNumber=5, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"]),
        axial(1, 5, SeriesNumber=9, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
        axial(9, 5, SeriesNumber=6, Modality="MR"),
    )
    assert taken(choice) == 2
    assert reason(choice, 1) == "localizer"
    assert reason(choice, 5) == "maximum intensity projection"
    assert reason(choice, 9) == "Secondary Capture Image Storage, not CT images"
    assert reason(choice, 6) == "modality MR, not CT"


def test_a_localizer_within_the_series_is_left_out(tmp_path):
    scout = ct_slice(PLANE, (0, 0, 0), SeriesInstanceUID="1.2.3.2", ImageType=["LOCALIZER"])
    choice = choose(tmp_path, [*axial(6, 5), scout])
    assert len(choice.instances) == 6
    assert choice.rejected[0].reason == "localizer"


def test_an_image_without_geometry_does_not_spoil_its_series(tmp_path):
    stray = ct_slice(PLANE, (0, 0, 0), SeriesInstanceUID="1.2.3.2", ImagePositionPatient=None)
    choice = choose(tmp_path, [*axial(6, 5), stray])
    assert len(choice.instances) == 6
    assert choice.rejected[0].reason == "image 1: no ImagePositionPatient"


@pytest.mark.parametrize(
    ("other", "because"),
    [
        (axial(30, 2, SeriesNumber=3, ImageType=["DERIVED", "SECONDARY", "AXIAL"]), "derived"),
        (coronal(60, 1, SeriesNumber=3), "coronal, and an axial series exists"),
        (axial(9, 2, SeriesNumber=3), "covers 16 mm only, not 55 mm"),
        (axial(12, 5, SeriesNumber=3, ConvolutionKernel="B70f"), "sharp kernel B70f"),
        (axial(12, 5, SeriesNumber=3, ConvolutionKernel="?"), "unknown kernel ?"),
        (axial(7, 9, SeriesNumber=3), "slices of 9 mm, and thinner ones exist"),
        (axial(11, 5, SeriesNumber=3), "11 slices, and a stack of more exists"),
        (axial(12, 5, SeriesNumber=3), "equal in all that counts"),
    ],
)
def test_the_reason_is_the_first_point_in_which_another_is_better(tmp_path, other, because):
    choice = choose(tmp_path, other, axial(12, 5))
    assert taken(choice) == 2
    assert reason(choice, 3).startswith(because)


def test_a_derived_series_is_taken_where_no_primary_exists(tmp_path):
    choice = choose(tmp_path, axial(9, 2, ImageType=["DERIVED", "SECONDARY", "AXIAL"]))
    assert "axial, derived" in choice.reason


def test_two_phases_in_one_series_are_told_apart(tmp_path):
    choice = choose(tmp_path, axial(9, 2), axial(9, 2, AcquisitionNumber=2))
    assert len(choice.instances) == 9
    assert len({i.header.AcquisitionNumber for i in choice.instances}) == 1
    assert build_volume(choice.stack).hu.shape[0] == 9
    assert len(choice.rejected[0].series.instances) == 9


def test_phases_without_any_label_are_told_apart_by_their_numbers(tmp_path):
    images = axial(6, 2)
    for image in images:
        image.AcquisitionNumber = image.InstanceNumber
    again = axial(6, 2)
    for image in again:
        image.AcquisitionNumber = image.InstanceNumber = image.InstanceNumber + 6
    choice = choose(tmp_path, images, again)
    assert sorted(i.header.InstanceNumber for i in choice.instances) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"Rows": None}, "image 1: no Rows"),
        ({"RescaleSlope": 0}, "image 1: RescaleSlope is 0"),
        ({"RescaleSlope": float("inf")}, "image 1: RescaleSlope is not a number"),
        ({"ImagePositionPatient": [0, 0, 1e300]}, "image 1: ImagePositionPatient is not 3 numbers"),
        ({"Modality": "PT"}, "image 1: modality PT, not CT"),
        ({"SamplesPerPixel": 3}, "image 1: colour image"),
        ({"PixelData": b"\0" * 20}, "image 1: cut off, with 20 of 40 bytes of pixel data"),
        ({"PixelData": None}, "image 1: cut off, with 0 of 40 bytes of pixel data"),
    ],
)
def test_a_broken_image_is_named_and_the_rest_taken(tmp_path, wrong, says):
    broken = ct_slice(PLANE, (0, 0, 99), SeriesInstanceUID="1.2.3.2", **wrong)
    choice = choose(tmp_path, [*axial(6, 5), broken])
    assert len(choice.instances) == 6
    assert choice.rejected[0].reason.startswith(says)


@settings(max_examples=15)
@given(order=st.permutations(range(18)))
def test_the_choice_does_not_depend_on_the_order_of_the_files(order):
    both = [*axial(9, 2), *axial(9, 2, AcquisitionNumber=2)]
    for k, image in enumerate(both):
        image.SOPInstanceUID, image.InstanceNumber = f"1.2.9.{k}", k + 1
    instances = tuple(Instance(Path("memory"), both[k]) for k in order)
    choice = choose_series(Study("1.2", (Series("1.2.3.2", instances),)))
    assert sorted(i.header.InstanceNumber for i in choice.instances) == list(range(1, 10))


def test_the_window_of_most_slices_counts(tmp_path):
    images = axial(5, 2, WindowCenter=40, WindowWidth=80)
    for image in images[:3]:
        image.WindowWidth = 100
    assert stack_of(read_study([save(images, tmp_path)]).series[0]).window == (40, 100)


def test_bolus_tracking_is_no_volume(tmp_path):
    images = [ct_slice(PLANE, (0, 0, 9), number=k, AcquisitionNumber=k) for k in range(1, 11)]
    with pytest.raises(
        NoUsableSeries, match="one position is taken by several slices: images 1-10"
    ):
        choose(tmp_path, images)


def test_a_study_without_a_usable_series_lists_every_reason(tmp_path):
    with pytest.raises(NoUsableSeries) as raised:
        choose(
            tmp_path,
            axial(3, 5),
            axial(2, 5, SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
            axial(9, 5, SeriesNumber=5, RescaleType="Z_EFF"),
        )
    for part in (
        "series 2 (3 images): 3 slices (images 1-3), where at least 5 must form a stack",
        "series 1 (2 images): localizer",
        "series 5 (9 images): pixel values are Z_EFF, not HU",
    ):
        assert part in str(raised.value)


def test_no_message_names_the_patient(tmp_path):
    choice = choose(tmp_path, axial(9, 2), axial(3, 2, SeriesNumber=4, PatientName="Doe^Jane"))
    said = choice.reason + " ".join(rejected.reason for rejected in choice.rejected)
    assert not any(secret in said for secret in ("Torso", "Doe", "T1", "A1"))


@pytest.mark.parametrize(
    ("centre", "width", "window"),
    [("40", "400", (40, 400)), ([35, 300], [80, 1500], (35, 80)), (None, None, None)],
)
def test_the_window_of_the_series_is_its_first(tmp_path, centre, width, window):
    images = axial(2, 2) if centre is None else axial(2, 2, WindowCenter=centre, WindowWidth=width)
    study = read_study([save(images, tmp_path)])
    assert stack_of(study.series[0]).window == window


def test_a_fault_of_every_image_is_told_once(tmp_path):
    images = axial(300, 1)
    for image in images:
        del image.RescaleSlope
    with pytest.raises(NoUsableSeries) as raised:
        choose(tmp_path, images)
    assert str(raised.value).endswith("images 1-300: no RescaleSlope and RescaleIntercept")


@pytest.mark.parametrize("keyword", ["SliceThickness", "SeriesNumber", "InstanceNumber"])
@pytest.mark.parametrize("value", [b"abc ", b"1\\2 ", b"\xff\xfe"])
def test_an_unreadable_value_that_geometry_does_not_need_costs_no_draft(tmp_path, keyword, value):
    images = axial(6, 2)
    for image in images:
        image[keyword] = RawDataElement(Tag(keyword), "LO", len(value), value, 0, False, True)
    assert len(choose(tmp_path, images).instances) == 6


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "PixelSpacing", "RescaleIntercept"])
def test_an_unreadable_value_costs_one_slice_and_is_named(tmp_path, keyword):
    images = axial(20, 2)
    images[10][keyword] = RawDataElement(Tag(keyword), "LO", 4, b"abc ", 0, False, True)
    choice = choose(tmp_path, images)
    assert len(choice.instances) == 19
    assert f"image 11: {keyword} is not" in choice.rejected[0].reason


@pytest.mark.parametrize("modality", ["", None, "ct", " CT"])
def test_a_ct_image_is_one_in_every_spelling_of_its_modality(tmp_path, modality):
    assert len(choose(tmp_path, axial(6, 5, Modality=modality)).instances) == 6


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("Modality", "OT", "image 6: modality OT, not CT"),
        ("SamplesPerPixel", 3, "image 6: colour image"),
    ],
)
def test_an_image_of_another_kind_among_usable_ones_is_a_loss(tmp_path, keyword, value, says):
    images = axial(6, 5)
    setattr(images[5], keyword, value)
    assert choose(tmp_path, images).lacking == (says,)


def test_a_localizer_among_usable_images_is_no_loss(tmp_path):
    scout = ct_slice(PLANE, (0, 0, 0), SeriesInstanceUID="1.2.3.2", ImageType=["LOCALIZER"])
    assert choose(tmp_path, [*axial(6, 5), scout]).lacking == ()


def test_values_of_another_unit_are_a_stack_of_their_own(tmp_path):
    images = axial(12, 5, RescaleType="HU")
    for image in images[6:]:
        image.RescaleType = "Z_EFF"
    for image in images[:3]:
        image.RescaleType = "Hounsfield"
    choice = choose(tmp_path, images)
    assert len(choice.instances) == 6
    assert choice.rejected[0].reason == "pixel values are Z_EFF, not HU"


def test_a_damaged_copy_of_an_image_that_was_read_is_no_loss(tmp_path):
    images = axial(6, 5)
    cut = axial(6, 5)[5]
    cut.SOPInstanceUID = images[5].SOPInstanceUID
    cut.PixelData = cut.PixelData[:-8]
    choice = choose(tmp_path, images, [cut])
    assert len(choice.instances) == 6
    assert choice.lacking == ()
