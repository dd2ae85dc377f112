from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage, generate_uid

from dicom_io.archives.archive import Archive
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.proving.inventory import ct_inventory, missing_from
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc


def by_dimse(orthanc: RunningOrthanc) -> Archive:
    return Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC")


def by_dicomweb(orthanc: RunningOrthanc) -> Archive:
    return Dicomweb(f"{orthanc.url}/dicom-web")


def by_rest(orthanc: RunningOrthanc) -> Archive:
    return Orthanc(orthanc.url)


Way = Callable[[RunningOrthanc], Archive]
every_way = pytest.mark.parametrize("way", [by_dimse, by_dicomweb, by_rest])


@every_way
def test_an_archive_tells_how_many_slices_each_ct_series_has(
    way: Way, orthanc: RunningOrthanc, tmp_path: Path
) -> None:
    study, thin, thick = generate_uid(), generate_uid(), generate_uid()
    for series in (thin, thin, thin, thick):
        orthanc.upload(write_slice(tmp_path, study, series=series))
    orthanc.upload(write_report(tmp_path, study))
    assert way(orthanc).count(study) == {thin: 3, thick: 1}


@every_way
def test_an_archive_tells_which_reports_a_study_has(
    way: Way, orthanc: RunningOrthanc, tmp_path: Path
) -> None:
    study = generate_uid()
    orthanc.upload(write_slice(tmp_path, study))
    assert way(orthanc).reports(study) == []
    for flag in ("UNVERIFIED", "VERIFIED"):
        path = write_report(tmp_path, study)
        report = dcmread(path)
        report.VerificationFlag = flag
        report.save_as(path)
        orthanc.upload(path)
    told = way(orthanc).reports(study)
    assert {str(one.SOPClassUID) for one in told} == {EnhancedSRStorage}
    assert sorted(one.VerificationFlag for one in told) == ["UNVERIFIED", "VERIFIED"]


@every_way
def test_an_archive_that_lacks_the_study_tells_nothing(way: Way, orthanc: RunningOrthanc) -> None:
    assert way(orthanc).count(generate_uid()) == {}


def test_a_series_whose_number_is_not_told_does_not_count() -> None:
    told, untold = Dataset(), Dataset()
    for series, uid in ((told, "1.2.1"), (untold, "1.2.2")):
        series.Modality, series.SeriesInstanceUID = "CT", uid
    told.NumberOfSeriesRelatedInstances = 5
    assert ct_inventory([told, untold]) == {"1.2.1": 5}


def test_what_the_archive_holds_and_has_not_arrived_is_missing() -> None:
    assert missing_from({"a": 3, "b": 2}, {"a": 5, "b": 2, "c": 4}) == 6


def test_what_arrived_and_the_archive_does_not_hold_yet_is_not_missing() -> None:
    assert missing_from({"a": 5, "b": 1}, {"a": 3}) == 0
