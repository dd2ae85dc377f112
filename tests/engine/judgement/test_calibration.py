from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicom_io.errors import CheckpointMismatch
from engine.judgement.calibration import CALIBRATION, Calibration, read_calibration
from engine.judgement.scores import Score
from tests.engine.judgement.test_fitting import case, drawn, fitted


@pytest.fixture(scope="module")
def known() -> Calibration:
    return fitted(drawn(400, 0))


def unmentioned(there: float) -> Score:
    return Score("ascites", {"present": there, "absent": 1 - there})


def test_it_is_read_as_it_was_written(known, tmp_path):
    known.save(tmp_path)
    assert read_calibration(tmp_path) == known


def test_a_model_has_none_until_somebody_fits_it(tmp_path):
    assert read_calibration(tmp_path) is None


def test_a_damaged_file_is_refused_with_the_place(known: Calibration, tmp_path: Path):
    path = known.save(tmp_path)
    values = json.loads(path.read_text())
    values["fitted"][0]["slope"] = "steep"
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointMismatch, match=rf"{CALIBRATION} is damaged: fitted.0.slope"):
        read_calibration(tmp_path)


def test_a_reader_sees_words_and_the_set(known: Calibration):
    told = known.assessment([case(0, 0.999, "present").score])
    (only,) = told.sentences
    assert (only.span, only.finding, only.present, only.level) == ((0, 5), "ascites", True, "high")
    assert told.calibrated_on == "a test, 400 studies"


def test_a_finding_that_is_not_mentioned_may_be_there(known: Calibration):
    assert known.assessment([unmentioned(0.6)]).unmentioned == ("ascites",)
    assert known.assessment([unmentioned(0.001)]).unmentioned == ()


def test_without_a_promise_what_is_likely_may_be_there():
    known = fitted([case(i, 0.01, "absent") for i in range(100)])
    assert known.assessment([unmentioned(0.6)]).unmentioned == ("ascites",)
    assert known.assessment([unmentioned(0.4)]).unmentioned == ()


def test_studies_like_those_of_the_set_do_not_drift(known: Calibration):
    drifts = [known.drift([one.score]) for one in drawn(400, 5)]
    assert sum(drifts) / len(drifts) == pytest.approx(0, abs=0.08)


def test_doubt_is_drift(known: Calibration):
    assert known.drift([unmentioned(0.55)]) > 0.8
    assert known.drift([unmentioned(1 - 1e-6)]) < -0.8
    assert known.drift([]) is None


def test_no_time_is_no_word(known: Calibration):
    told = known.assessment([])
    assert (told.sentences, told.unmentioned, told.drift) == ((), (), None)
