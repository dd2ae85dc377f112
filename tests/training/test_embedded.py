"""The model that ships with the package."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import engine
from bench.foreign_kinds import DEVELOPED, disfigured
from dicom_io.errors import CtscribeError, EngineError
from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS
from dicom_io.slices.read import read_studies, read_study
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from engine import load_engine
from engine.checkpoints.checkpoint import describe
from engine.inference.question import Asked
from engine.protocol import Answer, Sampling
from tests.torso import write_torso_series
from training.data.phantoms.questions import questions as phantom_questions
from training.data.phantoms.questions import yes_no_questions as yes_no
from training.data.questions import TYPES, Question
from training.evaluation.tasks.phantoms import evaluate_phantoms
from training.recipe.recipe import load_recipe
from training.wording.vocabulary import FOLDER

EMBEDDED = Path(engine.__file__).parent / "embedded"


@pytest.fixture(scope="module")
def shipped():
    return load_engine("embedded")


@pytest.fixture(scope="module")
def evaluation(shipped) -> dict:
    """Strict F1 by finding, and how often plane and phase are right, in percent."""
    results = evaluate_phantoms(shipped, range(900_000, 900_100), resamples=10)
    findings, technique = (table["rows"] for table in results["tables"])
    scores = {row["finding"]: row["strict F1"]["value"] for row in findings}
    right = {row["what"]: row["right"]["value"] for row in technique}
    return {**scores, **right, "abstained": results["abstained"]}


def test_it_weighs_at_most_25_megabytes():
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) <= 25e6


def test_it_is_what_the_recipe_in_the_repository_makes(shipped):
    recipe, found = load_recipe("phantom"), describe(EMBEDDED)
    assert found.preprocess == recipe.preprocess_spec
    assert found.network.vision == recipe.vision_config
    assert found.network.projector == recipe.projector_config(found.network.llm.hidden_size)
    assert found.prompt.questions == recipe.card.questions
    vocabulary = (FOLDER / "tokenizer.json").read_text("utf-8")
    assert json.loads((EMBEDDED / "tokenizer.json").read_text("utf-8")) == json.loads(vocabulary)


def test_it_calls_itself_a_demonstration(shipped):
    assert shipped.identity.demonstration
    assert set(shipped.identity.findings) == set(FINDINGS)


def test_findings_with_their_side_are_right_on_unseen_phantoms(evaluation):
    assert evaluation["all"] >= 80


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_that_it_may_write_is_found(evaluation, finding):
    assert evaluation[finding] >= 80


def test_plane_and_phase_are_right(evaluation):
    assert evaluation["plane"] >= 98
    assert evaluation["phase"] >= 98


def test_it_reports_all_but_one_in_a_hundred_phantoms(evaluation):
    assert evaluation["abstained"] <= 1


REAL = ("philips_head", "ge_head_tilt", "failing", "compressed")


def test_it_abstains_on_every_real_series(shipped, cases):
    reported, volumes = [], 0
    files = (p for name in REAL for p in (cases / name).rglob("*") if p.is_file())
    for folder in sorted({p.parent for p in files}):
        for study in read_studies([folder]):
            for series in study.series:
                try:
                    volume = build_volume(stack_of(series))
                except CtscribeError:
                    continue
                volumes += 1
                if shipped.report(prepare(volume, shipped.preprocess)).abstained is None:
                    reported.append(series.uid)
    assert volumes > 5
    assert reported == []


def test_it_abstains_on_a_real_torso(shipped, cases, tmp_path):
    """The nearest that a real body comes to its phantoms: chest and abdomen, axial, no gap."""
    study = read_study([write_torso_series(cases / "torso_3mm_slab.nii.gz", tmp_path)])
    torso = prepare(build_volume(stack_of(study.series[0])), shipped.preprocess)
    assert shipped.report(torso).abstained


UNSEEN = range(900_000, 900_020)


@pytest.fixture(scope="module")
def questions(shipped) -> list[tuple[Question, Answer]]:
    """Everything that is asked of a few unseen phantoms, openly and with its choices."""
    found = []
    for seed in UNSEEN:
        phantom, rng = make_phantom(seed), np.random.default_rng(seed)
        asked = [
            *phantom_questions(phantom.truth, "", rng, FINDINGS),
            *(replace(q, choices=("Yes", "No")) for q in yes_no(phantom.truth, "", rng, FINDINGS)),
        ]
        volume = prepare(phantom.volume, shipped.preprocess)
        batch = [Asked(volume, q.question, choices) for q in asked for choices in ((), q.choices)]
        both = iter(shipped.ask_batch(batch, Sampling(max_new_tokens=16)))
        found += [(q, answer) for q in asked for answer in (next(both), next(both))]
    return found


@pytest.mark.parametrize("kind", TYPES, ids=TYPES.values())
def test_questions_of_each_type_are_answered_on_unseen_phantoms(questions, kind):
    right = [
        (answer.choice.text if answer.choices else answer.generation.text) == question.answer
        for question, answer in questions
        if question.type == kind
    ]
    assert len(right) > 10
    assert np.mean(right) >= 0.85


def test_it_refuses_what_it_was_not_taught_and_says_what_it_was(shipped):
    volume = prepare(make_phantom(900_000).volume, shipped.preprocess)
    with pytest.raises(EngineError, match=r"Is there ascites\?") as refusal:
        shipped.ask(volume, "Is there a fracture of the left femur?")
    assert "femur" not in str(refusal.value)
    with pytest.raises(EngineError, match="choice B holds a word"):
        shipped.ask(volume, "Is there ascites?", ["Yes", "Perhaps"])


def test_it_gives_no_answer_about_what_it_does_not_report(shipped):
    noise = prepare(disfigured(DEVELOPED["noise"], 900_001), shipped.preprocess)
    answer = shipped.ask(noise, "Is there ascites?", ["Yes", "No"])
    assert answer.generation.abstained
    assert answer.choices == ()


@pytest.mark.parametrize("kind", DEVELOPED)
def test_it_abstains_on_what_it_was_not_trained_on(shipped, kind):
    generation = shipped.report(prepare(disfigured(DEVELOPED[kind], 900_001), shipped.preprocess))
    assert generation.abstained
    assert generation.text == ""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("upside down", "what lies where"), ("every eighth slice repeated", "neighbouring slices")],
)
def test_it_says_what_is_foreign_about_a_body_of_the_right_texture(shipped, kind, reason):
    image = prepare(disfigured(DEVELOPED[kind], 900_002), shipped.preprocess)
    assert reason in shipped.report(image).abstained
