from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from dicom_io.errors import DicomError, OutOfDeviceMemory
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.slices import frames, read
from engine.fake import FakeEngine
from plugin.drafting.writing.pipeline import Pipeline
from reporting.edition import Predecessor
from reporting.objects.render import report_text
from tests.ct import ct_slice


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("study")
    return sorted(write_study(make_phantom(21, matrix=32), folder).iterdir())


def test_what_the_model_wrote_stands_in_the_sr(paths):
    report = Pipeline(FakeEngine("Findings: Ascites. Impression: Ascites.")).make_report(paths)
    assert report.state == "complete"
    assert "Ascites." in report_text(report.sr)


def test_technique_comes_from_the_headers_and_never_from_the_model(paths):
    engine = FakeEngine("Technique: MRI of the knee. Findings: Ascites. Impression: Ascites.")
    text = report_text(Pipeline(engine).make_report(paths).sr)
    assert "knee" not in text
    assert "CT scanner: ctscribe phantom." in text


def test_an_abstaining_model_leaves_technique_and_the_reason(paths):
    engine = FakeEngine(abstained="the images are unlike those the model was trained on")
    report = Pipeline(engine).make_report(paths)
    assert report.state == "abstained"
    text = report_text(report.sr)
    assert "The model has not seen images like these; no findings were drafted." in text
    assert "unlike those the model was trained on" not in text
    assert report.selection[-1].startswith("the model abstained: the images are unlike those")
    assert "CT scanner" in text
    assert "Impression" not in text


def test_a_model_for_other_regions_is_not_asked(paths):
    failure = AssertionError("it was asked")
    report = Pipeline(FakeEngine(failure=failure, regions=("head",))).make_report(paths)
    assert report.state == "abstained"
    assert report.selection[-1] == (
        "the model abstained: the study shows the abdomen and chest, and the model was trained on "
        "images of the head"
    )


def test_a_text_that_was_cut_off_says_so(paths):
    engine = FakeEngine("Findings: Ascites is present. The spleen is large. Impression: Ascites.")
    report = Pipeline(engine, max_new_tokens=5).make_report(paths)
    assert report.state == "partial"
    assert report.draft.notices


def test_incomplete_input_stands_in_the_draft(paths):
    why = "instances were still arriving after 600 s"
    report = Pipeline(FakeEngine()).make_report(paths, incomplete=why)
    assert why in report_text(report.sr)


def test_an_image_that_cannot_be_decoded_and_a_damaged_file_stand_in_the_draft(tmp_path):
    paths = sorted(write_study(make_phantom(21, matrix=32), tmp_path / "study").iterdir())
    for path in paths:
        image = dcmread(path)
        image.compress(JPEGLSLossless)
        image.save_as(path)
    whole = paths[3].read_bytes()
    at = whole.rindex(b"\xff\xda") + 12
    paths[3].write_bytes(whole[:at] + bytes(len(whole) - at - 8) + whole[-8:])
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(whole[:400])
    report = Pipeline(FakeEngine()).make_report([*paths, damaged])
    (told,) = [notice for notice in report.draft.notices if "Incomplete input" in notice]
    assert "its pixel data is damaged" in told
    assert "damaged.dcm: damaged DICOM file" in told
    assert f" {len(paths) - 1} images" in report_text(report.sr)
    assert len(report.choice.instances) == len(paths)
    assert report.state == "partial"


def test_the_successor_names_its_predecessor(paths):
    predecessor = Predecessor("1.2.3", "1.2.4", "1.2.5")
    sr = Pipeline(FakeEngine()).make_report(paths, revision=2, predecessor=predecessor).sr
    series = sr.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.5"


def test_the_digest_depends_on_the_slices_and_not_on_their_order(paths):
    pipeline = Pipeline(FakeEngine())
    digest = pipeline.make_report(paths).selected_digest
    assert pipeline.make_report(paths[::-1]).selected_digest == digest
    assert pipeline.make_report(paths[:-1]).selected_digest != digest


def test_the_same_slices_as_last_time_are_not_drafted_again(paths):
    pipeline = Pipeline(FakeEngine())
    last_time = pipeline.make_report(paths[:-1]).selected_digest
    assert pipeline.make_report(paths, unless=last_time) is not None
    engine = FakeEngine(failure=AssertionError("the model is not asked"))
    assert Pipeline(engine).make_report(paths[:-1], unless=last_time) is None


@pytest.mark.parametrize("revision", [1, 2])
def test_a_slice_is_read_and_parsed_once_on_its_way(paths, monkeypatch, revision):
    counts = Counter()

    def counted(module, name):
        function = getattr(module, name)

        def call(*what):
            counts[name] += 1
            return function(*what)

        monkeypatch.setattr(module, name, call)

    counted(read, "read_instance")
    counted(frames, "slice_of")
    unless = None if revision == 1 else "another"
    Pipeline(FakeEngine()).make_report(paths, revision=revision, unless=unless)
    assert counts == {"read_instance": len(paths), "slice_of": len(paths)}


def test_each_step_is_told_before_it_begins(paths):
    from dicom_io.slices.read import read_study

    told: list[str] = []
    Pipeline(FakeEngine()).report_study(read_study(paths), progress=told.append)
    assert told[0] == "choose the series"
    assert told[-1] == "make the Structured Report"


def test_an_engines_failure_is_passed_on_as_it_is(paths):
    engine = FakeEngine(failure=OutOfDeviceMemory("cpu has not enough free memory"))
    with pytest.raises(OutOfDeviceMemory) as raised:
        Pipeline(engine).make_report(paths)
    assert raised.value.retryable


def test_images_of_two_patients_under_one_study_get_no_draft(paths, tmp_path):
    stranger = dcmread(paths[3])
    stranger.PatientID = "SOMEBODY-ELSE"
    stranger.save_as(tmp_path / "stranger.dcm")
    with pytest.raises(DicomError, match="name 2 different patients") as raised:
        Pipeline(FakeEngine()).make_report([*paths[:3], *paths[4:], tmp_path])
    assert "SOMEBODY" not in str(raised.value)


def test_nothing_to_read_is_an_error_of_the_input(tmp_path):
    with pytest.raises(DicomError):
        Pipeline(FakeEngine()).make_report([tmp_path])


def two_series(folder, damaged=False, lost=0):
    """A thin series, which is read first, and a thick one; the thin one damaged, or with a gap."""
    for number, count, mm in ((2, 24, 3.0), (3, 12, 6.0)):
        for k in range(count):
            image = ct_slice(
                np.full((16, 16), 40 * number),
                (0, 0, mm * k),
                number=k + 1,
                SeriesNumber=number,
                SeriesInstanceUID=f"1.2.3.{number}",
                SliceThickness=mm,
                transfer_syntax=RLELossless if damaged and number == 2 else ExplicitVRLittleEndian,
            )
            if damaged and number == 2:
                image.PixelData = image.PixelData[:80] + b"\0" * (len(image.PixelData) - 80)
            if number == 3 or not 8 <= k < 8 + lost:
                image.save_as(folder / f"{number}-{k:03}.dcm", enforce_file_format=True)
    return [folder]


@pytest.mark.parametrize("fault", [{"damaged": True}, {"lost": 6}])
def test_a_series_that_cannot_be_built_makes_way_and_the_draft_says_so(tmp_path, fault):
    report = Pipeline(FakeEngine()).make_report(two_series(tmp_path, **fault))
    assert report.choice.series.header.SeriesNumber == 3
    text = report_text(report.sr)
    assert "Series 3 was used" in text
    assert "Series 2 (" in text
    assert "could not be read" in text
    assert report.state == "complete"
    assert any("not read: series 2" in line for line in report.selection)


def test_a_second_choice_is_not_drafted_again_for_the_same_slices(tmp_path):
    paths = two_series(tmp_path, damaged=True)
    last_time = Pipeline(FakeEngine()).make_report(paths).selected_digest
    engine = FakeEngine(failure=AssertionError("the model is not asked"))
    assert Pipeline(engine).make_report(paths, unless=last_time) is None


def test_what_reaches_farther_and_was_not_read_makes_the_input_incomplete(tmp_path):
    for first, start in ((1, 0.0), (13, -400.0)):
        for k in range(12):
            image = ct_slice(np.zeros((16, 16)), (0, 0, start + 3 * k), number=first + k)
            image.AcquisitionNumber = first
            image.save_as(tmp_path / f"{first + k:03}.dcm", enforce_file_format=True)
    report = Pipeline(FakeEngine()).make_report([tmp_path])
    assert report.state == "partial"
    assert "Incomplete input: images 13-24 of series 2, 400 mm farther" in report_text(report.sr)


def test_images_of_one_uid_that_contradict_each_other_are_counted_in_the_draft(tmp_path):
    two_series(tmp_path)
    again = dcmread(tmp_path / "2-004.dcm")
    again.PixelData = bytes(len(again.PixelData))
    again.save_as(tmp_path / "again.dcm")
    text = report_text(Pipeline(FakeEngine()).make_report([tmp_path]).sr)
    assert "Incomplete input: 1 image set aside (image 5)" in text
