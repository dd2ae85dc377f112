from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dicom_io.errors import CheckpointMismatch
from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS
from dicom_io.phantoms.phantom import make_phantom
from engine import EMBEDDED
from engine.checkpoints.calibrated import own_calibration, trained_digest
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.folder import seal, verify
from engine.judgement.calibration import CALIBRATION
from engine.judgement.phrasing import ABSENT
from training.commands.train import train
from training.export.phrasings import phantom_facts, phantom_phrasings, phantom_questions


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EMBEDDED, tmp_path / "model"))


def test_a_model_of_phantoms_is_calibrated_by_one_command(model: Path):
    trained = trained_digest(describe(model))
    done = CliRunner().invoke(train, ["confidence", "--model", str(model), "--images", "6"])
    assert (done.exit_code, done.stdout.strip()) == (0, str(model / CALIBRATION)), done.output
    verify(model)
    calibration = own_calibration(describe(model))
    assert calibration is not None
    assert calibration.model == trained == trained_digest(describe(model))
    assert "6 studies" in calibration.calibrated_on
    assert {one.finding for one in calibration.fitted} == set(describe(model).card.findings)
    # six studies promise nothing, and have no word
    assert not any(one.promises or one.slope for one in calibration.fitted)


def test_a_calibration_of_other_weights_is_refused(model: Path):
    path = model / CALIBRATION
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "model": "0" * 64}))
    seal(model)
    with pytest.raises(CheckpointMismatch, match="fitted for other weights"):
        own_calibration(describe(model))


def test_every_fact_of_every_finding_has_sentences():
    for one in phantom_phrasings(DETAILED_FINDINGS):
        assert ABSENT in one.facts
        assert len(one.facts) >= 2
        assert all(one.fact(said) == fact for fact, some in one.facts.items() for said in some)


def test_questions_find_the_sentences_without_knowing_what_they_state():
    for known, asked in zip(phantom_phrasings(), phantom_questions(), strict=True):
        sentences = [said for some in known.facts.values() for said in some]
        assert all(asked.speaks(said) for said in sentences)
        assert asked.question.startswith("Is there ")
        assert not asked.facts


def test_the_facts_of_a_phantom_have_the_names_of_its_sentences():
    known = {one.finding: one.facts for one in phantom_phrasings()}
    for seed in range(20):
        for finding, fact in phantom_facts(make_phantom(seed, matrix=16).truth).items():
            assert fact in known[finding]
