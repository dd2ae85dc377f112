from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dicom_io.errors import OutOfDeviceMemory
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine.fake import FakeEngine
from engine.judgement.protocol import Assesses, Assessment, Confidence, Level
from engine.protocol import Generation
from plugin.drafting.writing.confidence import Confidence as Kept
from plugin.drafting.writing.pipeline import Pipeline
from reporting.objects.render import level_of

TEXT = "Findings: There is ascites. No nodule. Impression: Ascites."


class Assessing(FakeEngine):
    """Is sure of what it denies, and of nothing that it finds."""

    def __init__(
        self, failure: Exception | None = None, calibrated_on: str = "phantoms, 300 studies"
    ) -> None:
        super().__init__(TEXT)
        self.broken, self.calibrated_on = failure, calibrated_on
        self.asked: list[tuple[list[str], float]] = []

    can_assess = True

    def assess(self, model_input, generation, spans, *, within_s):
        texts = [generation.text[slice(*span)] for span in spans]
        self.asked.append((texts, within_s))
        if self.broken:
            raise self.broken
        if not self.calibrated_on:
            return Assessment(())
        sentences = tuple(
            Confidence(span, "nodule" if denied else "ascites", not denied, self._level(denied))
            for span, denied in zip(spans, (one.startswith("No") for one in texts), strict=True)
        )
        return Assessment(sentences, ("renal_stone",), self.calibrated_on, 0.25)

    @staticmethod
    def _level(denied: bool) -> Level:
        return "high" if denied else "low"


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("study")
    return sorted(write_study(make_phantom(21, matrix=32), folder).iterdir())


def words(report):
    return [(one.text, one.confidence) for part in report.draft.sections for one in part.sentences]


def test_an_engine_is_asked_about_every_sentence_within_its_time(paths):
    engine = Assessing()
    assert isinstance(engine, Assesses)
    report = Pipeline(engine, confidence_s=3).make_report(paths)
    assert engine.asked == [(["There is ascites.", "No nodule.", "Ascites."], 3)]
    assert words(report)[:3] == [
        ("Ascites.", "low"),
        ("There is ascites.", "low"),
        ("No nodule.", "high"),
    ]
    assert report.draft.notices[-2:] == (
        "Confidence: high, except where a sentence says otherwise. Calibrated on phantoms, 300 "
        "studies.",
        "Not mentioned, but possibly present: renal stone.",
    )
    assert report.confidence == Kept("phantoms, 300 studies", 0.25)


def test_the_report_object_carries_the_words(paths):
    sr = Pipeline(Assessing()).make_report(paths).sr
    impressions, findings = sr.ContentSequence[-3:-1]
    levels = [[level_of(one) for one in part.ContentSequence] for part in (impressions, findings)]
    assert levels == [[None, "low"], [None, "low", None, "high"]]


def test_nothing_is_withheld_unless_that_is_wanted(paths):
    report = Pipeline(Assessing(), withhold=True).make_report(paths)
    kept = (("IMPRESSION", "Ascites."), ("FINDINGS", "There is ascites."))
    assert report.confidence.withheld == kept
    assert "scites" not in str(report.sr)


@pytest.mark.parametrize("engine", [Assessing(calibrated_on=""), FakeEngine(TEXT)])
def test_without_a_calibration_the_draft_says_uncalibrated_and_no_more(paths, engine):
    report = Pipeline(engine).make_report(paths)
    assert "Confidence: uncalibrated." in report.draft.notices
    assert {word for _, word in words(report)} == {None}
    assert report.confidence == Kept("")


@pytest.mark.parametrize("failure", [OutOfDeviceMemory("full"), RuntimeError("cuDNN")])
def test_a_draft_goes_out_without_confidence_that_fails(paths, failure, caplog):
    caplog.set_level(logging.WARNING)
    report = Pipeline(Assessing(failure)).make_report(paths)
    assert report.state == "complete"
    assert "Confidence: not assessed." in report.draft.notices
    assert report.confidence == Kept(None)
    assert "without confidence" in caplog.text
    assert "Phantom" not in caplog.text


def test_switched_off_nobody_is_asked(paths):
    engine = Assessing()
    report = Pipeline(engine, confidence_s=0).make_report(paths)
    assert engine.asked == []
    assert not any("onfidence" in one for one in report.draft.notices)


def test_an_abstention_is_not_assessed(paths):
    class Abstaining(Assessing):
        def report(self, model_input, sampling) -> Generation:
            return Generation.withheld(self.identity, "unlike the training")

    engine = Abstaining()
    report = Pipeline(engine).make_report(paths)
    assert engine.asked == []
    assert report.confidence == Kept(None)
