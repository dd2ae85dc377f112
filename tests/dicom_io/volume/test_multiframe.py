"""Enhanced CT: frames with functional groups, one stack or several."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_io.errors import GeometryError, IncompleteSeries, MissingAttribute, NoUsableSeries
from dicom_io.slices.read import read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_first, build_volume
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


N = 24
MANY = np.random.default_rng(4).integers(-1000, 2000, (N, 32, 32))
for _k in range(N):  # no two frames are compressed to one length
    MANY[_k, : _k + 1] = -1000


def damaged(*odd):
    """An object of 24 frames, of which some lack their position."""
    frames = [frame(2 * k) for k in range(N)]
    for k in odd:
        del frames[k].PlanePositionSequence
    return enhanced(MANY, frames)


def read(folder):
    choice, volume = build_first(choose_series(read_study([folder])))
    return choice, volume


def without(hu, *lost):
    """The volume where each lost frame lies between two that are there."""
    hu = hu.astype(float)
    for k in lost:
        hu[k] = (hu[k - 1] + hu[k + 1]) / 2
    return np.rint(hu)


@pytest.mark.parametrize("odd", [(5,), (5, 11)])
def test_a_frame_whose_header_is_odd_costs_that_frame(tmp_path, odd):
    choice, volume = read(save([damaged(*odd)], tmp_path))
    np.testing.assert_array_equal(volume.hu, without(MANY, *odd))
    named = "frame 6" if len(odd) == 1 else "frames 6, 12"
    assert choice.lacking == (
        f"image 1: {len(odd)} of 24 frames cannot be read ({named}: no ImagePositionPatient)",
    )


@pytest.mark.parametrize("odd", [(5, 11, 17), range(24)])
def test_too_many_odd_frames_make_a_second_choice(tmp_path, odd):
    second = damaged()
    second.SeriesInstanceUID, second.SOPInstanceUID, second.SeriesNumber = "1.2.3.8", "1.2.3.9", 9
    choice, volume = read(save([damaged(*odd), second], tmp_path))
    assert choice.series.series_instance_uid == "1.2.3.8"
    np.testing.assert_array_equal(volume.hu, MANY)
    (said,) = choice.notes
    assert said.startswith("Series 2 (1 image) could not be read: ")


def compressed(lost=(), emptied=(), table=True, syntax=RLELossless):
    """An object of 24 compressed frames, some of them left out or empty."""
    dataset = damaged()
    dataset.compress(syntax, generate_instance_uid=False)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=N))
    whole = encapsulate(frames, has_bot=table)
    offsets = whole[: 8 + int.from_bytes(whole[4:8], "little")]
    items = [b"" if k in emptied else f for k, f in enumerate(frames) if k not in lost]
    heads = (b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") for item in items)
    dataset.PixelData = offsets + b"".join(
        part for pair in zip(heads, items, strict=True) for part in pair
    )
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(
    ("left_out", "frames"),
    [({"lost": (5,)}, "5"), ({"lost": (5, 11)}, "5 11"), ({"emptied": (5,), "table": False}, "5")],
)
def test_a_compressed_frame_that_is_lost_costs_that_frame(tmp_path, syntax, left_out, frames):
    lost = tuple(map(int, frames.split()))
    _, volume = read(save([compressed(syntax=syntax, **left_out)], tmp_path))
    np.testing.assert_array_equal(volume.hu, without(MANY, *lost))
    assert volume.unreadable == tuple(
        f"frame {k + 1} of 24: its pixel data is lost or cut off" for k in lost
    )


def test_a_damaged_stream_costs_its_frame(tmp_path):
    dataset = compressed()
    at = dataset.PixelData.index(b"\xfe\xff\x00\xe0", 200) + 8 + 64  # into a segment
    value = bytearray(dataset.PixelData)
    value[at : at + 4] = b"\x7f\x7f\x7f\x7f"
    dataset.PixelData = bytes(value)
    _, volume = read(save([dataset], tmp_path))
    (said,) = volume.unreadable
    assert " of 24: its pixel data has " in said
    assert volume.hu.shape[0] >= N - 1


def test_lost_frames_that_nothing_names_make_a_second_choice(tmp_path):
    second = damaged()
    second.SeriesInstanceUID, second.SOPInstanceUID, second.SeriesNumber = "1.2.3.8", "1.2.3.9", 9
    choice, volume = read(save([compressed((5,), table=False), second], tmp_path))
    np.testing.assert_array_equal(volume.hu, MANY)
    assert any("nothing tells which are lost" in said for said in choice.notes)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("left", [22, 12])
def test_frames_that_are_cut_off_cost_themselves(tmp_path, syntax, left):
    plain = syntax == ExplicitVRLittleEndian
    folder = save([damaged() if plain else compressed(syntax=syntax)], tmp_path)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    pixels = whole.index(b"\xe0\x7f\x10\x00") + (12 if plain else 0)
    share = left * 2048 if plain else _end_of(left, whole[pixels:])
    path.write_bytes(whole[: pixels + share + 10])
    if left == 12:
        with pytest.raises((NoUsableSeries, IncompleteSeries), match="cut off"):
            read(folder)
        return
    choice, volume = read(folder)
    np.testing.assert_array_equal(volume.hu, MANY[:22])
    assert len([*choice.lacking, *volume.unreadable]) == (1 if plain else 2)


def _end_of(count, value):
    """Where the item of a frame ends, after the table's."""
    at = 12
    for _ in range(count + 1):
        at += 8 + int.from_bytes(value[at + 4 : at + 8], "little")
    return at
