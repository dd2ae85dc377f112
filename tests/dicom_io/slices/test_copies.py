"""Objects that share a SOP Instance UID: copies, different slices, contradictions."""

import shutil

import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from dicom_io.slices.read import read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_first
from tests.ct import ct_slice

UID = "1.2.826.0.1.3680043.8.498.7"


def write(folder, name, k, hu, uid=None, **attributes):
    uid = uid or f"{UID}.{k}"
    image = ct_slice(
        np.full((8, 8), hu), (0, 0, 3.0 * k), number=k + 1, SOPInstanceUID=uid, **attributes
    )
    image.save_as(folder / name, enforce_file_format=True)


def series(folder, count=12, uid=None):
    for k in range(count):
        write(folder, f"{k:03}.dcm", k, 40 + 2 * k, uid)


def read(folder):
    choice, volume = build_first(choose_series(read_study([folder])))
    return choice, volume.hu[:, 0, 0].tolist()


EXACT = [40 + 2 * k for k in range(12)]


def test_different_slices_under_one_uid_are_all_read(tmp_path):
    series(tmp_path, uid=UID)
    choice, hu = read(tmp_path)
    assert hu == EXACT
    assert choice.notes == ("Images that share a SOP Instance UID were all read.",)
    assert choice.lacking == ()


def test_equal_files_count_once_and_nothing_is_said(tmp_path):
    series(tmp_path)
    for path in list(tmp_path.iterdir()):
        shutil.copy(path, tmp_path / f"again-{path.name}")
    choice, hu = read(tmp_path)
    assert (len(choice.instances), hu, choice.lacking, choice.notes) == (12, EXACT, (), ())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_the_same_pixels_in_another_encoding_are_a_copy(tmp_path, syntax):
    series(tmp_path)
    write(tmp_path, "again.dcm", 5, 50, transfer_syntax=syntax)
    choice, hu = read(tmp_path)
    assert (hu, choice.lacking, choice.notes) == (EXACT, (), ())


def test_other_pixels_at_the_same_place_are_set_aside_and_counted(tmp_path):
    series(tmp_path)
    for k in (3, 7):
        write(tmp_path, f"again{k}.dcm", k, -777)
    choice, hu = read(tmp_path)
    assert hu == EXACT
    (said,) = choice.lacking
    assert said.startswith("2 images set aside (images 4, 8): another image has the same SOP")
    assert choice.notes == ()
