from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import KeyObjectSelectionDocumentStorage, SegmentationStorage

from dicom_io.archives.dimse import Dimse
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.device import uid_in_form
from reporting.objects.beside import Region, objects_beside
from reporting.objects.sr import build_sr
from tests.orthanc import RunningOrthanc
from tests.reporting.studies import ct_header, draft_of, reread
from tests.reporting.validators import dciodvfy

PIXELS = {
    "Rows": 4,
    "Columns": 6,
    "PixelSpacing": [0.5, 0.5],
    "FrameOfReferenceUID": "1.2.9",
    "PatientName": "Müller^Jürgen",
    "SpecificCharacterSet": "ISO_IR 192",
}


def headers(count: int = 5, **attributes: object):
    return [ct_header(n, **(PIXELS | attributes)) for n in range(1, count + 1)]


def region(sentence: str, *numbers: int) -> Region:
    mask = np.zeros((len(numbers), 4, 6), bool)
    mask[:, 1:3, 2:5] = True
    return Region(sentence, tuple(f"1.2.3.4.{n}" for n in numbers), mask)


def made(folder: Path, *regions: Region, **attributes: object):
    images = headers(**attributes)
    sr = build_sr(draft_of(), images)
    return sr, [reread(one, folder) for one in objects_beside(sr, images, regions)]


def test_a_segmentation_has_a_segment_for_each_sentence(tmp_path: Path):
    ascites, spleen = region("There is ascites.", 1, 2, 3), region("A large spleen.", 4)
    _, (segmentation, _) = made(tmp_path, ascites, spleen)
    assert segmentation.SOPClassUID == SegmentationStorage
    labels = [one.SegmentLabel for one in segmentation.SegmentSequence]
    assert labels == ["AI evidence: There is ascites.", "AI evidence: A large spleen."]
    frames = segmentation.pixel_array
    assert frames.shape == (4, 4, 6)
    assert np.array_equal(frames.astype(bool), np.concatenate([ascites.mask, spleen.mask]))


def test_key_images_are_the_middle_slices(tmp_path: Path):
    _, (_, key_images) = made(tmp_path, region("There is ascites.", 1, 2, 3), region("A cyst.", 5))
    assert key_images.SOPClassUID == KeyObjectSelectionDocumentStorage
    referred = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in key_images.ContentSequence
        if item.ValueType == "IMAGE"
    ]
    assert referred == ["1.2.3.4.2", "1.2.3.4.5"]


def test_they_are_filed_and_found_with_the_draft(tmp_path: Path):
    sr, objects = made(tmp_path, region("There is ascites.", 2))
    for name, one in zip(("evidence", "key-images"), objects, strict=True):
        assert one.SOPInstanceUID == uid_in_form(sr.SOPInstanceUID, name)
        assert one.SeriesDescription == f"AI DRAFT UNVERIFIED, {name}"
        assert (one.PatientID, one.AccessionNumber) == ("4711", "A1")
        assert str(one.PatientName) == "Müller^Jürgen"
        assert (one.StudyInstanceUID, one.StudyDate) == ("1.2.3", "20240101")
    assert len({one.SeriesNumber for one in (sr, *objects)}) == 3


def test_without_evidence_there_is_nothing_beside_a_draft(tmp_path: Path):
    assert made(tmp_path)[1] == []


def test_images_without_a_place_carry_no_segmentation(tmp_path: Path):
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        made(tmp_path, region("There is ascites.", 2), FrameOfReferenceUID=None)


def test_they_are_valid_and_a_real_archive_holds_them(tmp_path: Path, orthanc: RunningOrthanc):
    images = headers(StudyInstanceUID="1.2.3.77", SeriesInstanceUID="1.2.3.78")
    sr = build_sr(draft_of(), images)
    archive = Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC")
    made = objects_beside(sr, images, [region("There is ascites.", 1, 2, 3)])
    for one, kind in zip(made, ("Segmentation", "KeyObjectSelectionDocument"), strict=True):
        path = tmp_path / f"{one.Modality}.dcm"
        one.save_as(path, enforce_file_format=True)
        assert dciodvfy(path, kind) == []
        archive.store(path)
        found = archive.find(InstanceReference.of(one))
        assert judge(found, identity_of(one)) is Verdict.PROVED
