"""Real series against dcm2niix: shape, affine and HU."""

import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.transforms import Compose, CropForeground, Resize, ScaleIntensity, ScaleIntensityRange
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from dicom_io.errors import DicomError, NoUsableSeries
from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.slices.read import read_study
from dicom_io.volume.nifti import write_nifti
from dicom_io.volume.series import choose_series
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from tests.ct import ct_stack, save
from tests.services import require
from tests.torso import write_torso_series

DCM2NIIX = Path("/usr/bin/dcm2niix")


def ours(folder, out):
    """The volume of the only series in a folder, through the NIfTI file that is written of it."""
    volume = build_volume(stack_of(read_study([folder]).series[0]))
    write_nifti(out / "ours.nii.gz", volume.hu, volume.affine_lps, "CT in HU")
    return nibabel.load(out / "ours.nii.gz"), volume


def theirs(folder, out, name="theirs"):
    require(DCM2NIIX.exists(), "dcm2niix")
    command = [DCM2NIIX, "-z", "n", "-b", "n", "-f", "theirs", "-o", out, folder]
    subprocess.run(command, check=True, capture_output=True)
    return nibabel.load(out / f"{name}.nii")


def same_grid(mine, reference):
    """The reference's array and affine with its axes ordered as mine."""
    turn = ornt_transform(io_orientation(reference.affine), io_orientation(mine.affine))
    hu = apply_orientation(np.asarray(reference.dataobj), turn)
    return hu, reference.affine @ inv_ornt_aff(turn, reference.shape)


PLAIN = [
    "philips_head/axial_5mm",
    "compressed/compressed",
    "compressed/compressed_jpeg",
    "compressed/compressed_rle",
    "failing/slicecount",
]


@pytest.mark.parametrize("case", PLAIN)
def test_plain_series_equal_dcm2niix(cases, tmp_path, case):
    mine, volume = ours(cases / case, tmp_path)
    hu, affine = same_grid(mine, theirs(cases / case, tmp_path))
    assert volume.notes == ()
    np.testing.assert_array_equal(np.asarray(mine.dataobj), hu)
    np.testing.assert_allclose(mine.affine, affine, atol=1e-3)


def test_a_torso_equals_dcm2niix_and_its_source(cases, tmp_path):
    source = cases / "torso_3mm_slab.nii.gz"
    folder = write_torso_series(source, tmp_path / "torso")
    mine, _ = ours(folder, tmp_path)
    for reference in (theirs(folder, tmp_path), nibabel.load(source)):
        hu, affine = same_grid(mine, reference)
        np.testing.assert_array_equal(np.asarray(mine.dataobj), hu)
        np.testing.assert_allclose(mine.affine, affine, atol=1e-3)


def test_tilt_without_the_tag_is_corrected_as_dcm2niix_does(cases, tmp_path):
    case = cases / "failing" / "gantrytilting"
    mine, volume = ours(case, tmp_path)
    hu, affine = same_grid(mine, theirs(case, tmp_path, "theirs_Tilt_1"))
    np.testing.assert_allclose(mine.affine, affine, atol=1e-3)
    assert mine.shape == hu.shape
    # the two differ in the one row where half a pixel reaches beyond the image
    differs = np.abs(np.asarray(mine.dataobj) - hu.astype(float)) > 1
    assert differs.mean() < 0.003
    assert "tilted by 14.0 degrees" in volume.notes[0]


def write_tilted(cases, tilt, folder):
    """The torso's slices as if acquired with a tilted gantry."""
    hu = np.asarray(nibabel.load(cases / "torso_3mm_slab.nii.gz").dataobj).transpose(2, 1, 0)
    angle = np.deg2rad(tilt)
    leaning = np.eye(4)
    leaning[:3, 0] = 0, 0, 3
    leaning[:3, 1] = 0, 3 * np.cos(angle), 3 * np.sin(angle)
    leaning[:3, 2] = 3, 0, 0
    tags = {"Manufacturer": "SIEMENS", "GantryDetectorTilt": tilt}
    return save(ct_stack(hu, leaning, signed=True, intercept=0, **tags), folder)


def test_a_tilted_torso_is_corrected_as_dcm2niix_does(cases, tmp_path):
    folder = write_tilted(cases, -22, tmp_path / "tilted")
    mine, _ = ours(folder, tmp_path)
    expected, affine = same_grid(mine, theirs(folder, tmp_path, "theirs_Tilt_1"))
    np.testing.assert_allclose(mine.affine, affine, atol=1e-3)
    got = np.asarray(mine.dataobj)
    assert got.shape == expected.shape
    inside = (got > -1024) & (expected > -1024)
    assert (np.abs(got - expected.astype(float))[inside] > 1).mean() < 0.01


def test_the_other_tilt_has_the_grid_of_dcm2niix(cases, tmp_path):
    """Where rows run headwards, dcm2niix 1.0.20220720 puts the first slice at a fraction of a row
    but its origin at a whole one, and moves that origin's z the wrong way: only axes are compared.
    """
    folder = write_tilted(cases, 17, tmp_path / "tilted")
    mine, _ = ours(folder, tmp_path)
    expected, affine = same_grid(mine, theirs(folder, tmp_path, "theirs_Tilt_1"))
    assert mine.shape == expected.shape
    np.testing.assert_allclose(mine.affine[:3, :3], affine[:3, :3], atol=1e-3)


def test_tilt_with_two_slice_distances_agrees_with_dcm2niix_but_for_its_z_row(cases, tmp_path):
    """dcm2niix 1.0.20220720 scales the z row, not the slice column, when it resamples a tilt."""
    case = cases / "ge_head_tilt"
    mine, volume = ours(case, tmp_path)
    hu, affine = same_grid(mine, theirs(case, tmp_path, "theirs_Tilt_Eq_1"))
    assert mine.shape == hu.shape
    got = np.asarray(mine.dataobj)
    inside = (got > -1024) & (hu > -1024)
    assert np.abs(got - hu.astype(float))[inside].mean() < 1
    right = np.ones((4, 4), bool)
    right[1:3, 2] = right[2, 1] = right[2, 3] = False
    np.testing.assert_allclose(mine.affine[right], affine[right], atol=1e-3)
    np.testing.assert_allclose(mine.affine[2, 2], affine[2, 2], atol=1e-3)
    assert [note.split()[0] for note in volume.notes] == ["The", "The"]


def test_the_tilted_head_maps_its_slices_to_their_image_positions(cases):
    study = read_study([cases / "ge_head_tilt"])
    volume = build_volume(stack_of(study.series[0]))
    headers = {i.sop_instance_uid: i.header for i in study.series[0].instances}
    to_index = np.linalg.inv(volume.affine_lps)
    last = len(volume.hu) - 1
    for uid, k in ((volume.sop_instance_uids[0], 0), (volume.sop_instance_uids[-1], last)):
        index = to_index @ [*map(float, headers[uid].ImagePositionPatient), 1]
        assert index[0] == pytest.approx(k, abs=1e-3)


def test_the_philips_study_gives_its_axial_series(cases):
    choice = choose_series(read_study([cases / "philips_head"]))
    assert choice.series.header.SeriesNumber == 201
    assert len(choice.instances) == 28
    reasons = {r.series.header.SeriesNumber: r.reason for r in choice.rejected}
    assert reasons == {
        100: "localizer",
        401: "Secondary Capture Image Storage, not CT images",
    }


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("gantrytilting", r"4 slices \(images 1-4\), where at least 5"),
        ("notavolume", r"images 23-26 all lie at \(-139.23, -384.23, 61.50\) mm"),
        ("slicecount", "modality MR, not CT"),
        ("sliceincrement/001", "1 slice is missing between image 9 at .* and image 10 at"),
        ("sliceincrement/002", "1 slice is missing between image 3 at .* and image 5 at"),
        ("sliceorientation", "modality MR, not CT"),
    ],
)
def test_what_is_no_volume_is_refused_with_slices_and_reason(cases, case, says):
    with pytest.raises(NoUsableSeries, match=says):
        choose_series(read_study([cases / "failing" / case]))


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("notavolume", "one position is taken by several slices: images 23-26"),
        ("sliceincrement/001", "4 slices with gaps too large to interpolate: 1 slice is missing"),
        ("sliceincrement/002", "4 slices with gaps too large to interpolate: 1 slice is missing"),
        ("sliceorientation", "2 kinds of slices are mixed"),
    ],
)
def test_building_it_anyway_says_what_is_wrong(cases, case, says):
    series = read_study([cases / "failing" / case]).series[0]
    with pytest.raises(DicomError, match=says):
        build_volume(stack_of(series))


def test_the_model_sees_the_torso_as_a_reader_does(cases, tmp_path):
    """Head to feet, front to back, patient right to left, and otherwise MONAI's transforms."""
    source = cases / "torso_3mm_slab.nii.gz"
    volume = build_volume(stack_of(read_study([write_torso_series(source, tmp_path)]).series[0]))
    pixels = prepare(volume, PreprocessSpec((30, 96, 96))).pixels[0]
    hu = np.asarray(nibabel.as_closest_canonical(nibabel.load(source)).dataobj)
    displayed = hu.transpose(2, 1, 0)[::-1, ::-1, ::-1].astype(np.float32)
    window = ScaleIntensityRange(-160, 240, 0, 1, clip=True)
    resize = Resize((30, 96, 96), mode="trilinear")
    path = Compose([window, ScaleIntensity(), CropForeground(), resize])
    np.testing.assert_allclose(pixels, path(displayed[None])[0], atol=1e-4)
