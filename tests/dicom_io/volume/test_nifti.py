import nibabel
import numpy as np
import pytest

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.types import Volume
from dicom_io.volume.nifti import write_nifti

AFFINE = np.array([[0, 0, 0.8, -9], [0, 0.7, 0, 5], [2.5, 0, 0, 100], [0, 0, 0, 1]])
HU = np.random.default_rng(5).integers(-1024, 3000, (4, 5, 6)).astype(np.int16)


def value_at(nifti, position_lps):
    ras = np.array([-position_lps[0], -position_lps[1], position_lps[2], 1])
    index = np.linalg.inv(nifti.affine) @ ras
    return np.asarray(nifti.dataobj)[tuple(np.rint(index[:3]).astype(int))]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_every_voxel_lies_where_it_did(tmp_path, dtype):
    write_nifti(tmp_path / "v.nii.gz", HU.astype(dtype), AFFINE, "CT in HU")
    nifti = nibabel.load(tmp_path / "v.nii.gz")
    assert nifti.get_data_dtype() == dtype
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        assert value_at(nifti, AFFINE[:3] @ [*index, 1]) == HU[index]


def test_qform_and_sform_agree(tmp_path):
    write_nifti(tmp_path / "v.nii", HU, AFFINE, "CT in HU")
    nifti = nibabel.load(tmp_path / "v.nii")
    np.testing.assert_allclose(nifti.get_qform(), nifti.get_sform(), atol=1e-5)
    assert nifti.header.get_xyzt_units()[0] == "mm"


def test_the_model_input_lies_over_the_volume(tmp_path):
    spec = PreprocessSpec(HU.shape, crop_foreground=False, orientation="axial", scaling="fixed")
    model_input = prepare(Volume(HU, AFFINE), spec, window=(1000, 4096))
    write_nifti(tmp_path / "m.nii.gz", model_input.pixels[0], model_input.affine_lps, "")
    nifti = nibabel.load(tmp_path / "m.nii.gz")
    expected = (HU[1, 2, 3] + 1048) / 4096
    assert value_at(nifti, AFFINE[:3] @ [1, 2, 3, 1]) == pytest.approx(expected, abs=1e-5)
