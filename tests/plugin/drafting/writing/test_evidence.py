from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from dicom_io.errors import OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.types import Volume
from engine.fake import FakeEngine
from engine.judgement.protocol import Evidence
from plugin.drafting.writing.evidence import regions, slices_of
from plugin.drafting.writing.pipeline import Pipeline

TEXT = "Findings: There is ascites. No pneumothorax. Impression: Ascites."
SPEC = PreprocessSpec(size=(8, 4, 4))


class Explaining(FakeEngine):
    """Names the second of four cells of every sentence that it is asked of."""

    can_explain = True

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(TEXT)
        self.asked: list[str] = []
        self.broken = failure

    def explain(self, model_input, generation, spans, *, within_s):
        self.asked = [generation.text[slice(*span)] for span in spans]
        if self.broken:
            raise self.broken
        weights = np.zeros((4, 1, 1), np.float32)
        weights[1] = 1
        return tuple(Evidence(span, "ascites", weights) for span in spans)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("study")
    return sorted(write_study(make_phantom(21, matrix=32), folder).iterdir())


def evidence(*best: int) -> Evidence:
    weights = np.zeros((4, 2, 2), np.float32)
    weights[best] = 1
    return Evidence((0, 1), "ascites", weights)


def seen(volume: Volume, to_volume: np.ndarray) -> ModelInput:
    pixels = np.zeros((1, *SPEC.size), np.float32)
    return ModelInput(pixels, SPEC, volume.affine_lps @ to_volume, ())


def stack(depth: int) -> Volume:
    affine = np.diag([0.7, 0.7, 3.0, 1.0])[:, [2, 1, 0, 3]]
    uids = tuple(f"1.2.{i}" for i in range(depth))
    return Volume(np.zeros((depth, 4, 4), np.int16), affine, uids)


def test_a_cell_is_the_slices_that_it_crosses():
    volume = stack(16)
    twice = np.diag([2.0, 1, 1, 1])
    twice[0, 3] = 0.5  # 16 slices in 8 of the input: its first lies between the first two
    assert slices_of(evidence(0, 0, 0), seen(volume, twice), volume) == range(0, 4)
    assert slices_of(evidence(3, 1, 1), seen(volume, twice), volume) == range(12, 16)


def test_a_cell_across_the_stack_crosses_as_many_slices_as_it_is_wide():
    volume = stack(4)
    turned = np.eye(4)[[2, 1, 0, 3]]  # the input's columns are the slices
    assert slices_of(evidence(0, 0, 1), seen(volume, turned), volume) == range(2, 4)


def test_a_cell_beyond_the_stack_is_its_last_slice():
    volume = stack(3)
    assert slices_of(evidence(3, 0, 0), seen(volume, np.eye(4)), volume) == range(2, 3)


def test_a_draft_names_the_slices_of_what_is_there(paths):
    engine = Explaining()
    report = Pipeline(engine).make_report(paths)
    assert engine.asked == ["There is ascites.", "Ascites."]
    impression, findings, _ = report.draft.sections
    images = findings.sentences[0].evidence
    assert images == impression.sentences[0].evidence
    count = len(paths)
    assert count / 4 - 2 <= len(images) <= count / 4 + 2
    first, *_, last = sorted(image.instance_number for image in images)
    assert findings.sentences[0].shown == f"There is ascites (series 2, images {first}–{last})."
    assert findings.sentences[1].evidence == ()


def test_the_report_object_refers_to_them(paths):
    sr = Pipeline(Explaining()).make_report(paths).sr
    referred = [
        child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for section in sr.ContentSequence
        for text in section.get("ContentSequence") or []
        for child in text.get("ContentSequence") or []
        if (child.ValueType, child.RelationshipType) == ("IMAGE", "INFERRED FROM")
    ]
    assert len(set(referred)) * 2 == len(referred) > 2


@pytest.mark.parametrize("failure", [OutOfDeviceMemory("full"), RuntimeError("cuDNN")])
def test_a_draft_goes_out_without_evidence_that_fails(paths, failure, caplog):
    caplog.set_level(logging.WARNING)
    report = Pipeline(Explaining(failure)).make_report(paths)
    assert report.state == "complete"
    assert not any(s.evidence for section in report.draft.sections for s in section.sentences)
    assert "without evidence" in caplog.text


def test_switched_off_nobody_is_asked(paths):
    engine = Explaining()
    Pipeline(engine, evidence_s=0).make_report(paths)
    assert engine.asked == []


def test_the_evidence_is_drawn_for_viewers_where_a_destination_takes_it(paths):
    report = Pipeline(Explaining(), draws=True).make_report(paths)
    segmentation, key_images = report.beside
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentLabel == "AI evidence: There is ascites."
    named = {image.sop_instance_uid for image in report.draft.sections[1].sentences[0].evidence}
    drawn = {
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    }
    assert drawn <= named
    assert len(drawn) > len(named) / 2
    assert key_images.Modality == "KO"


def test_images_that_carry_no_segmentation_cost_no_draft(paths, monkeypatch, caplog):
    def refuse(*_):
        raise ValueError("no frame of reference")

    monkeypatch.setattr("plugin.drafting.writing.evidence.objects_beside", refuse)
    report = Pipeline(Explaining(), draws=True).make_report(paths)
    assert report.beside == ()
    assert "without drawn evidence" in caplog.text


def test_what_is_drawn_lies_where_the_cell_is():
    volume = stack(16)
    twice = np.diag([2.0, 1, 1, 1])
    one = evidence(1, 0, 1)
    (region,) = regions([one], "A text.", seen(volume, twice), volume)
    assert region.sentence == "A"
    assert region.uids == tuple(f"1.2.{i}" for i in slices_of(one, seen(volume, twice), volume))
    assert region.mask[:, :2, 2:].any()
    assert not region.mask[:, 2:, :2].any()
