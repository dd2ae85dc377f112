"""Images that are there more than once: copies, different slices, contradictions."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from dicom_io.slices import copies
from dicom_io.slices.frames import slices_of
from dicom_io.slices.read import read_study
from dicom_io.types import Instance, Series
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_first
from tests.ct import ct_slice

UID = "1.2.826.0.1.3680043.8.498.7"
PLANE = np.zeros((8, 8))


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


SENT_AGAIN = {
    "under the same numbers": lambda k: k,
    "under numbers that go on": lambda k: k + 12,
    "under numbers that run back": lambda k: 40 - k,
}


def send_again(folder, places, number=lambda k: k, **attributes):
    for k in places:
        image = ct_slice(
            np.full((8, 8), 40 + 2 * k),
            (0, 0, 3.0 * k),
            number=number(k) + 1,
            SOPInstanceUID=f"{UID}.9.{k}",
            **attributes,
        )
        image.save_as(folder / f"new{k:03}.dcm", enforce_file_format=True)


@pytest.mark.parametrize("number", SENT_AGAIN.values(), ids=SENT_AGAIN)
@pytest.mark.parametrize("places", [range(12), range(3, 9), [5]], ids=["all", "half", "one"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_slices_sent_again_under_new_uids_are_copies(tmp_path, number, places, syntax):
    series(tmp_path)
    send_again(tmp_path, places, number, transfer_syntax=syntax)
    choice, hu = read(tmp_path)
    assert (hu, choice.lacking, choice.notes) == (EXACT, (), ())
    assert len(choice.instances) == 12
    (said,) = choice.rejected
    assert said.reason.endswith("copies of images that are read, under other UIDs")
    assert len(said.series.instances) == len(places)


def test_slices_sent_again_in_another_series_are_that_series(tmp_path):
    series(tmp_path)
    send_again(tmp_path, range(12), SeriesInstanceUID=f"{UID}.8", SeriesNumber=3)
    choice, hu = read(tmp_path)
    assert (hu, choice.lacking, choice.notes) == (EXACT, (), ())
    assert len(choice.rejected) == 1


def test_equal_pixels_at_different_places_are_no_copies(tmp_path):
    for k in range(12):
        write(tmp_path, f"{k:03}.dcm", k, 40)
    assert read(tmp_path)[1] == [40] * 12


def test_a_copy_that_can_be_read_stands_in_for_a_damaged_one(tmp_path):
    series(tmp_path)
    write(tmp_path, "005.dcm", 5, 50, transfer_syntax=JPEGLSLossless)
    whole = (tmp_path / "005.dcm").read_bytes()
    scan = whole.index(b"\xff\xda")  # cut the codestream off within its only scan
    (tmp_path / "005.dcm").write_bytes(whole[: scan + 12] + bytes(len(whole) - scan - 12))
    send_again(tmp_path, [5])
    choice, hu = read(tmp_path)
    assert (hu, choice.lacking, choice.notes) == (EXACT, (), ())


def test_many_slices_under_one_uid_are_not_compared_with_each_other(monkeypatch):
    images = [
        Instance(Path("memory"), ct_slice(PLANE, (0, 0, 1.0 * k), SOPInstanceUID=UID))
        for k in range(400)
    ]
    slices = slices_of(Series("1", tuple(images)))
    compared = []
    monkeypatch.setattr(copies, "_at_one_place", lambda *two: compared.append(two) or False)
    assert copies.without_copies(slices) == (list(slices), [], [])
    assert compared == []
