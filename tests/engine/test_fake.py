import time

import pytest

from dicom_io.errors import OutOfDeviceMemory
from engine.fake import SMALL, FakeEngine
from tests.engine.conftest import input_for


def test_it_writes_the_three_sections() -> None:
    text = FakeEngine().report(input_for(SMALL)).text
    assert [h for h in ("Technique:", "Findings:", "Impression:") if h in text] == [
        "Technique:",
        "Findings:",
        "Impression:",
    ]


def test_its_text_depends_on_the_input_alone() -> None:
    texts = {FakeEngine().report(input_for(SMALL, seed)).text for seed in (1, 2, 1)}
    assert len(texts) == 2


def test_it_says_what_it_is_told_to() -> None:
    generation = FakeEngine("Findings: Ascites.").report(input_for(SMALL))
    assert generation.text == "Findings: Ascites."
    assert generation.finish_reason == "eos"


def test_it_abstains_when_told_to() -> None:
    generation = FakeEngine(abstained="the images are unlike any").report(input_for(SMALL))
    assert (generation.text, generation.token_ids) == ("", ())
    assert generation.abstained == "the images are unlike any"


def test_it_fails_when_told_to() -> None:
    engine = FakeEngine(failure=OutOfDeviceMemory("the device is full"))
    with pytest.raises(OutOfDeviceMemory):
        engine.report(input_for(SMALL))


def test_it_takes_its_time_when_told_to() -> None:
    start = time.monotonic()
    FakeEngine(delay_s=0.05).report(input_for(SMALL))
    assert time.monotonic() - start >= 0.05
