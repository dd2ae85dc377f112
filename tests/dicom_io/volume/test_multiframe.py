"""Enhanced CT: frames with functional groups, one stack or several."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage, RLELossless

from dicom_io.errors import GeometryError, MissingAttribute, NoUsableSeries
from dicom_io.slices.read import read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from tests.ct import ct_slice, save

HU = np.random.default_rng(3).integers(-1000, 2000, (8, 6, 7))


def item(**attributes):
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return [dataset]


def frame(z, stack="1", intercept=-1024, y=0, orientation=(1, 0, 0, 0, 1, 0)):
    return item(
        PlanePositionSequence=item(ImagePositionPatient=[0, y, z]),
        PlaneOrientationSequence=item(ImageOrientationPatient=list(orientation)),
        FrameContentSequence=item(StackID=stack, FrameAcquisitionNumber=1),
        PixelValueTransformationSequence=item(
            RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU"
        ),
    )[0]


def enhanced(hu, frames):
    """One enhanced CT object: (N, H, W) HU, the functional groups of each frame."""
    stored = np.stack(
        [
            plane - int(group.PixelValueTransformationSequence[0].RescaleIntercept)
            for plane, group in zip(hu, frames, strict=True)
        ]
    )
    dataset = ct_slice(hu[0], (0, 0, 0), SOPClassUID=EnhancedCTImageStorage)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "SliceThickness",
        "ConvolutionKernel",
    ):
        delattr(dataset, keyword)
    dataset.NumberOfFrames = len(hu)
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset.SharedFunctionalGroupsSequence = item(
        PixelMeasuresSequence=item(PixelSpacing=[0.5, 0.75], SliceThickness=2),
        CTImageFrameTypeSequence=item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]),
        CTReconstructionSequence=item(ConvolutionKernel="STANDARD"),
    )
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def series_in(folder, *datasets):
    return read_study([save(datasets, folder)]).series[0]


def test_frames_are_ordered_by_position_and_rescaled_one_by_one(tmp_path):
    order = [3, 0, 7, 1, 2, 6, 5, 4]
    frames = [frame(2 * k, intercept=-1024 - k) for k in order]
    volume = build_volume(stack_of(series_in(tmp_path, enhanced(HU[order], frames))))
    np.testing.assert_array_equal(volume.hu, HU)
    assert volume.spacing_mm == (2, 0.5, 0.75)
    assert len(set(volume.sop_instance_uids)) == 1


def test_compressed_frames_are_decoded_one_by_one(tmp_path):
    dataset = enhanced(HU, [frame(2 * k) for k in range(8)])
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(build_volume(stack_of(series_in(tmp_path, dataset))).hu, HU)


def test_an_object_of_one_stack_is_chosen_whole(tmp_path):
    folder = save([enhanced(HU, [frame(2 * k) for k in range(8)])], tmp_path)
    assert choose_series(read_study([folder])).instances[0].frames is None


def test_of_several_stacks_the_frames_of_one_are_chosen(tmp_path):
    coronal = (1, 0, 0, 0, 0, -1)
    frames = [frame(2 * k) for k in range(6)]
    frames += [frame(0, "2", y=y, orientation=coronal) for y in (0, 9)]
    choice = choose_series(
        read_study([save([enhanced(HU, frames)], tmp_path)]),
    )
    assert choice.instances[0].frames == (0, 1, 2, 3, 4, 5)
    np.testing.assert_array_equal(build_volume(choice.stack).hu, HU[:6])
    assert "2 slices (frames 7-8)" in choice.rejected[0].reason


def test_several_stacks_at_once_are_refused_and_named(tmp_path):
    frames = [frame(2 * k, "1" if k < 6 else "2") for k in range(8)]
    series = series_in(tmp_path, enhanced(HU, frames))
    with pytest.raises(
        GeometryError, match=r"2 kinds of slices are mixed \(frames 1-6.*frames 7-8"
    ):
        build_volume(stack_of(series))


def test_a_frame_without_position_is_named(tmp_path):
    frames = [frame(2 * k) for k in range(8)]
    del frames[4].PlanePositionSequence
    with pytest.raises(MissingAttribute, match="frame 5: no ImagePositionPatient"):
        build_volume(stack_of(series_in(tmp_path, enhanced(HU, frames))))


def test_frames_without_functional_groups_are_refused(tmp_path):
    dataset = ct_slice(HU[0], (0, 0, 0), NumberOfFrames=3)
    dataset.PixelData = dataset.PixelData * 3
    with pytest.raises(NoUsableSeries, match="image 1: frames, but no PerFrameFunctionalGroups"):
        choose_series(read_study([save([dataset], tmp_path)]))


def test_a_frame_more_than_the_header_counts_is_noticed(tmp_path):
    dataset = enhanced(HU, [frame(z) for z in range(8)])
    dataset.PixelData += dataset.PixelData[: len(dataset.PixelData) // len(HU)]
    with pytest.raises(NoUsableSeries, match=r"\d+ bytes of pixel data, where the header says"):
        choose_series(read_study([save([dataset], tmp_path)]))


@pytest.mark.parametrize("described", [7, 9])
def test_frames_without_their_functional_group_are_noticed(tmp_path, described):
    dataset = enhanced(HU, [frame(z) for z in range(8)])
    dataset.PerFrameFunctionalGroupsSequence = [frame(z) for z in range(described)]
    with pytest.raises(NoUsableSeries, match=f"8 frames, but {described} functional groups"):
        choose_series(read_study([save([dataset], tmp_path)]))
