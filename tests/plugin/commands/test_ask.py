"""`ctscribe ask`: a question about a study on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread

import plugin.commands.ask
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine.checkpoints.checkpoint import Checkpoint, Prompt, save_checkpoint
from engine.fake import FakeEngine
from engine.protocol import Sampling
from plugin.cli import main
from tests.engine import conftest

checkpoint = conftest.checkpoint
CHOICES = ("--choice", "left", "--choice", "right")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(make_phantom(11, matrix=32), tmp_path_factory.mktemp("study"))


def ask(*arguments: object, model: str = "fake") -> Result:
    return CliRunner().invoke(main, ["ask", *map(str, arguments), "--model", model])


def with_engine(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr(plugin.commands.ask, "load_engine", lambda *_, **__: engine)


def test_an_open_question_is_answered_in_words(series: Path) -> None:
    result = ask(series, "Is there ascites?")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == ["I am no model."]


def test_an_answer_is_marked_as_not_verified(series: Path) -> None:
    first, *_ = ask(series, "Is there ascites?").stdout.splitlines()
    assert first == "AI ANSWER - NOT VERIFIED. Written by the model fake 1."


def test_a_closed_question_is_answered_with_letter_text_and_probabilities(series: Path) -> None:
    result = ask(series, "Which side?", *CHOICES)
    assert result.stdout.splitlines()[1:] == ["A. left", " 66.7%  A. left", " 33.3%  B. right"]


def test_json_is_one_object_and_nothing_else(series: Path) -> None:
    result = ask(series, "Which side?", *CHOICES, "--json")
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert (found["letter"], found["answer"], found["text"]) == ("A", "left", "A. left")
    assert [one["letter"] for one in found["choices"]] == ["A", "B"]
    assert sum(one["probability"] for one in found["choices"]) == pytest.approx(1)
    assert len(found["model"]["digest"]) == 64


def test_no_patient_is_named(series: Path) -> None:
    header = dcmread(next(series.iterdir()), stop_before_pixels=True)
    shown = ask(series, "Which side?", *CHOICES, "--json").output
    assert not [k for k in ("PatientName", "PatientID") if str(header[k].value) in shown]


@pytest.mark.parametrize("closed", [(), CHOICES], ids=["open", "closed"])
def test_a_model_that_abstains_gives_its_reason(
    series: Path, monkeypatch: pytest.MonkeyPatch, closed: tuple[str, ...]
) -> None:
    with_engine(monkeypatch, FakeEngine(abstained="the images are unlike any"))
    result = ask(series, "Which side?", *closed)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == ["No answer: the images are unlike any."]


def test_an_answer_that_was_cut_off_says_so(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    cut = partial(engine.ask, sampling=Sampling(max_new_tokens=2))
    monkeypatch.setattr(engine, "ask", cut)
    with_engine(monkeypatch, engine)
    _, text, note = ask(series, "Is there ascites?").stdout.splitlines()
    assert text == "I am "
    assert note == "Note: the answer was cut off: it reached the limit of new tokens."


def test_a_model_trained_on_reports_only_is_at_fault(
    series: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(replace(checkpoint, prompt=Prompt("describe")), tmp_path)
    result = ask(series, "Is there ascites?", model=str(tmp_path))
    assert result.exit_code == 1
    assert "answers no questions" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("question", ["", "  "])
def test_an_empty_question_is_at_fault(series: Path, question: str) -> None:
    result = ask(series, question)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "must not be empty" in result.stderr


def test_one_choice_is_wrong_usage(series: Path) -> None:
    assert ask(series, "Which side?", "--choice", "left").exit_code == 2


def test_a_question_without_study_is_wrong_usage() -> None:
    assert ask("Which side?").exit_code == 2


def test_a_folder_without_a_study_is_at_fault(tmp_path: Path) -> None:
    result = ask(tmp_path, "Which side?")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ctscribe: ")
