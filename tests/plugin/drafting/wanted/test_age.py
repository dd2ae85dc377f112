from datetime import date

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from plugin.drafting.wanted.age import why_too_old


@pytest.mark.parametrize("given", ["20251128", "20261128", "20270101", ""])
def test_a_study_within_the_limit_or_without_a_date_is_young(tmp_path, given):
    assert why_too_old([written(tmp_path, given)], 365, date(2026, 11, 28)) is None


def test_an_older_one_is_told_with_its_date_and_the_limit(tmp_path):
    why = why_too_old([tmp_path / "gone", written(tmp_path, "20251127")], 365, date(2026, 11, 28))
    assert why == (
        "the study is of 2025-11-27, which is more than 365 days ago (worker.max_study_age_days)"
    )


def written(folder, study_date):
    dataset = Dataset()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2", "1.2.1"
    dataset.StudyDate = study_date
    dataset.save_as(folder / "slice.dcm", enforce_file_format=True)
    return folder / "slice.dcm"


@pytest.mark.parametrize("damage", ["cut", "huge"])
def test_a_damaged_deflated_file_is_of_unknown_age(tmp_path, damage):
    header = dcmread(written(tmp_path, "20251127"))
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if damage == "huge":
        header.EncapsulatedDocument = bytes(70 * 2**20)
    header.save_as(tmp_path / "first.dcm")
    if damage == "cut":
        data = (tmp_path / "first.dcm").read_bytes()
        (tmp_path / "first.dcm").write_bytes(data[:-20])
    first, second = tmp_path / "first.dcm", tmp_path / "slice.dcm"
    assert why_too_old([first], 365, date(2026, 11, 28)) is None
    assert why_too_old([first, second], 365, date(2026, 11, 28)) is not None
