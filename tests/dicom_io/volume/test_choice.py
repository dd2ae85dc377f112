"""What a draft says of the choice: what was left out, what is missing, what could not be read."""

import numpy as np
import pytest
from pydicom.uid import RLELossless

from dicom_io.errors import DicomError
from dicom_io.slices.read import read_study
from dicom_io.volume.choice import FEWEST_SLICES
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_first
from tests.ct import ct_slice, save
from tests.dicom_io.volume.series_in_memory import study


def images(number, count, mm, hu=40, start=0.0, first=1, **attributes):
    return [
        ct_slice(
            np.full((8, 8), hu),
            (0, 0, start + mm * k),
            number=first + k,
            SeriesNumber=number,
            SeriesInstanceUID=f"1.2.3.{number}",
            SliceThickness=mm,
            **attributes,
        )
        for k in range(count)
    ]


def damage(some):
    """Cut the compressed pixels of images, so that only decoding shows it."""
    for image in some:
        frame = bytearray(image.PixelData)
        frame[len(frame) // 2 :] = b"\0" * (len(frame) - len(frame) // 2)
        image.PixelData = bytes(frame)


def choice_of(folder, *series):
    for k, some in enumerate(series):
        save(some, folder / str(k))
    return choose_series(read_study([folder]))


def test_a_series_that_cannot_be_decoded_makes_way_for_the_next(tmp_path):
    thin = images(2, 24, 3, transfer_syntax=RLELossless)
    damage(thin)
    choice, volume = build_first(choice_of(tmp_path, thin, images(3, 12, 6, hu=77)))
    assert choice.series.header.SeriesNumber == 3
    assert (volume.hu == 77).all()
    (said,) = choice.notes
    assert said.startswith("Series 2 (24 images) could not be read: ")
    assert choice.rejected[-1].series.header.SeriesNumber == 2


def test_a_series_that_lost_too_many_slices_makes_way_for_the_next(tmp_path):
    thin = images(2, 24, 3)
    choice, _ = build_first(choice_of(tmp_path, thin[:8] + thin[14:], images(3, 12, 6)))
    assert choice.series.header.SeriesNumber == 3
    (said,) = choice.notes
    assert said.startswith("Series 2 (18 images) could not be read: 18 slices with gaps too large")


def test_without_another_series_the_reason_of_the_last_is_told(tmp_path):
    thin = images(2, 24, 3, transfer_syntax=RLELossless)
    damage(thin)
    with pytest.raises(DicomError, match="image"):
        build_first(choice_of(tmp_path, thin))


def test_ranges_that_lie_apart_give_one_range_and_the_others_are_named(tmp_path):
    legs = [
        *images(3, 10, 3),
        *images(3, 7, 3, start=-400, first=11, AcquisitionNumber=2),
        *images(3, 7, 3, start=-800, first=18, AcquisitionNumber=3),
    ]
    choice = choice_of(tmp_path, legs)
    assert len(choice.instances) == 10
    assert sorted(choice.lacking) == [
        "images 11-17 of series 3, 400 mm farther along the body, were not read",
        "images 18-24 of series 3, 800 mm farther along the body, were not read",
    ]


def test_a_pass_over_the_same_range_is_named_and_costs_no_completeness(tmp_path):
    both = [*images(3, 24, 3), *images(3, 24, 3, start=1.5, first=25, AcquisitionNumber=2)]
    choice = choice_of(tmp_path, both)
    assert choice.notes == ("Images 25-48 of series 3, over the same range, were not read.",)
    assert choice.lacking == ()
    (rejected,) = choice.rejected
    assert rejected.reason.startswith("images 25-48: another pass over the same range")


def test_passes_that_were_joined_are_said_to_be_so(tmp_path):
    both = [*images(3, 24, 3), *images(3, 24, 3, start=48, first=25, AcquisitionNumber=2)]
    choice = choice_of(tmp_path, both)
    assert choice.notes == (
        "The volume joins 2 acquisitions that follow each other.",
        "Images 25-32 of series 3, over the same range, were not read.",
    )


def test_one_slice_is_spoken_of_as_one(tmp_path):
    monitoring = ct_slice(
        np.zeros((8, 8)), (0, 0, 7), SeriesNumber=3, SeriesInstanceUID="1.2.3.3", SliceThickness=10
    )
    choice = choice_of(tmp_path, [monitoring, *images(3, 24, 3, first=2)])
    assert choice.notes == ("Image 1 of series 3, over the same range, was not read.",)


@pytest.mark.parametrize(
    ("total", "numbers", "missing"),
    [
        (3, (1, 2, 3), None),
        (3, (1, 3), "1 of 3 parts of a multi-frame object is missing"),
        (4, (1, 2), "2 of 4 parts of a multi-frame object are missing"),
        (None, (1, 3), "1 of 3 parts of a multi-frame object is missing"),
        (None, (1, 2), None),
    ],
)
def test_parts_of_a_concatenation_that_are_missing_are_counted(total, numbers, missing):
    whole = study({"ConcatenationUID": "1.2.9"})
    for k, instance in enumerate(whole.series[0].instances):
        instance.header.InConcatenationNumber = numbers[k % len(numbers)]
        if total:
            instance.header.InConcatenationTotalNumber = total
    assert choose_series(whole).lacking == ((missing,) if missing else ())


def test_a_few_faulty_images_of_a_series_that_is_not_read_are_no_matter(tmp_path):
    broken = images(2, FEWEST_SLICES - 1, 3, PixelSpacing=None)
    assert choice_of(tmp_path, broken, images(3, 12, 6)).notes == ()


def test_a_series_that_continues_the_range_is_named_in_the_draft():
    choice = choose_series(study({}, {"start": 72.0}))
    (rejected,) = choice.rejected
    assert rejected.reason.startswith("another range of the body (taken: series 1")
    assert choice.notes == ("Other ranges of the body were not read: series 2 (24 images).",)


def test_without_a_common_frame_of_reference_nobody_knows_of_another_range():
    choice = choose_series(study({}, {"start": 72.0, "FrameOfReferenceUID": "1.2.3.77"}))
    assert choice.notes == ()


def test_a_range_seen_from_the_other_side_is_another_range_too(tmp_path):
    flipped = images(3, 7, 3, start=-400, first=11, orientation=((-1, 0, 0), (0, 1, 0)))
    choice = choice_of(tmp_path, [*images(3, 10, 3), *flipped])
    assert choice.lacking == (
        "images 11-17 of series 3, 400 mm farther along the body, were not read",
    )
