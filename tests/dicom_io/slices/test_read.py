import numpy as np
import pytest
from pydicom.uid import MediaStorageDirectoryStorage, generate_uid

from dicom_io.errors import DicomError, NoUsableSeries
from dicom_io.slices.read import read_studies, read_study
from tests.ct import ct_slice, ct_stack, save

HU = np.zeros((3, 4, 5))
AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], float)


def test_a_folder_is_read_with_its_folders(tmp_path):
    save(ct_stack(HU, AFFINE), tmp_path / "deep" / "er")
    save(ct_stack(HU, AFFINE, SeriesInstanceUID=generate_uid()), tmp_path)
    study = read_study([tmp_path])
    assert [len(series.instances) for series in study.series] == [3, 3]


def test_headers_hold_no_pixels(tmp_path):
    study = read_study([save(ct_stack(HU, AFFINE), tmp_path)])
    assert "PixelData" not in study.series[0].header


def test_what_is_not_dicom_is_listed_and_left_out(tmp_path):
    save(ct_stack(HU, AFFINE), tmp_path)
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / "empty").touch()
    study = read_study([tmp_path])
    assert len(study.series[0].instances) == 3
    assert study.ignored == ("empty: not a DICOM file", "notes.txt: not a DICOM file")


def test_a_dicomdir_is_no_image(tmp_path):
    save(ct_stack(HU, AFFINE), tmp_path)
    directory = ct_slice(HU[0], (0, 0, 0), SOPClassUID=MediaStorageDirectoryStorage)
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert read_study([tmp_path]).ignored == ("DICOMDIR: a DICOMDIR, not an image",)


@pytest.mark.parametrize("explicit", [True, False])
def test_files_without_preamble_are_read(tmp_path, explicit):
    dataset = ct_slice(HU[0], (0, 0, 0))
    del dataset.file_meta
    dataset.save_as(tmp_path / "bare", implicit_vr=not explicit, little_endian=True)
    header = read_study([tmp_path]).series[0].header
    assert header.Rows == 4
    assert header.file_meta.TransferSyntaxUID.is_implicit_VR is not explicit


def test_a_file_cut_off_in_its_header_is_listed(tmp_path):
    save(ct_stack(HU, AFFINE), tmp_path)
    whole = next(tmp_path.glob("*.dcm")).read_bytes()
    (tmp_path / "a_cut").write_bytes(whole[:420])
    ignored = read_study([tmp_path]).ignored
    assert len(ignored) == 1
    assert ignored[0].startswith("a_cut: damaged DICOM file")


def test_copies_of_an_instance_count_once(tmp_path):
    images = ct_stack(HU, AFFINE)
    save(images, tmp_path / "a")
    save(images, tmp_path / "b")
    assert len(read_study([tmp_path]).series[0].instances) == 3


def test_several_studies_are_told_apart(tmp_path):
    save(ct_stack(HU, AFFINE), tmp_path / "a")
    save(ct_stack(HU, AFFINE, StudyInstanceUID="1.2.3"), tmp_path / "b")
    assert [study.study_instance_uid for study in read_studies([tmp_path])][1] == "1.2.3"
    with pytest.raises(DicomError, match="2 studies where one is wanted"):
        read_study([tmp_path])


def test_a_folder_without_dicom_says_what_it_found(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(NoUsableSeries, match=r"1 not read, such as notes\.txt: not a DICOM"):
        read_study([tmp_path])


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(NoUsableSeries, match="nowhere"):
        read_study([tmp_path / "nowhere"])
