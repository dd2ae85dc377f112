from dataclasses import replace

import numpy as np
import pytest
import torch

from dicom_io.errors import CheckpointMismatch, UnusableData
from engine.checkpoints.description import Prompt
from tests.training import tiny
from training.data.questions import write_questions
from training.data.store import open_store
from training.wording.conversation import IGNORED, Script, Turn, turns

PROMPT = Prompt("Describe the findings.")
REPORT = Turn("c0/s", None, "There is ascites.")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.write_store(tmp_path_factory.mktemp("store") / "s")


@pytest.fixture
def script() -> Script:
    return Script(tiny.tokenizer(), PROMPT, 8, 48, ("Describe the findings.",))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_sequence_is_image_tokens_question_answer_and_end(script):
    example = script.example(REPORT, rng())
    tokens = script.tokenizer
    assert example.ids[:8].tolist() == [tokens.token_to_id("<im_patch>")] * 8
    assert example.ids[-1] == tokens.token_to_id("<eos>")
    text = tokens.decode(example.ids.tolist())
    assert text == "Describe the findings. There is ascites."


def test_only_the_answer_and_its_end_are_learnt(script):
    example = script.example(REPORT, rng())
    learnt = example.ids[example.labels != IGNORED]
    assert torch.equal(example.labels[-len(learnt) :], learnt)
    assert script.tokenizer.decode(learnt.tolist()) == "There is ascites."
    assert learnt[-1] == script.eos_id


def test_the_question_has_the_tokens_that_the_engine_asks_with(script):
    example = script.example(REPORT, rng())
    asked = script.tokenizer.encode("<im_patch>" * 8 + "Describe the findings.").ids
    assert example.ids[: len(asked)].tolist() == asked
    assert (example.labels[: len(asked)] == IGNORED).all()


def test_what_stands_before_a_question_is_learnt_before_no_report(script):
    led = replace(script, prompt=replace(PROMPT, before_question="Describe "))
    assert torch.equal(led.example(REPORT, rng()).ids, script.example(REPORT, rng()).ids)
    asked = led.example(Turn("c0/s", "Is there ascites?", "no"), rng()).ids.tolist()
    assert script.tokenizer.decode(asked) == "Describe Is there ascites? no"


def test_the_words_that_ask_for_a_report_are_drawn(script):
    drawing = replace(script, report_questions=("Describe the findings.", "Is there ascites?"))
    drawn = [drawing.example(REPORT, rng(seed)).ids.tolist() for seed in range(20)]
    assert len({tuple(ids) for ids in drawn}) == 2
    assert drawn[3] == drawing.example(REPORT, rng(3)).ids.tolist()


def test_a_long_answer_is_cut_without_an_end_and_counted(script):
    room = 8 + 4 + 2
    short = replace(script, max_tokens=room)
    example = short.example(REPORT, rng())
    assert example.cut
    assert len(example.ids) == room
    assert script.eos_id not in example.ids
    assert short.cut([REPORT, Turn("c0/s", "Is there ascites?", "no")]) == 1
    assert script.cut([REPORT]) == 0


def test_an_answer_that_fits_to_the_last_token_is_not_cut(script):
    whole = script.example(REPORT, rng())
    exact = replace(script, max_tokens=len(whole.ids))
    assert not exact.example(REPORT, rng()).cut
    assert exact.cut([REPORT]) == 0
    assert replace(script, max_tokens=len(whole.ids) - 1).cut([REPORT]) == 1


def test_a_question_without_room_for_an_answer_is_named(script):
    with pytest.raises(UnusableData, match=r"c0/s is too long: 'Is there ascites\?'"):
        replace(script, max_tokens=10).example(Turn("c0/s", "Is there ascites?", "no"), rng())


def test_a_tokenizer_without_the_placeholder_is_refused(script):
    with pytest.raises(CheckpointMismatch, match="lacks '<image>'"):
        replace(script, prompt=replace(PROMPT, image_token="<image>"))


def test_every_kind_is_asked_as_m3d_asks(store):
    def asked(kind):
        return turns(store, "grouped", "train", [kind])[1]

    assert asked("reports") == Turn("c1/s", None, "The spleen is enlarged.")
    assert asked("open") == Turn("c1/s", "Which plane is this?", "coronal")
    closed = "Which plane is this? Choices: A. axial B. coronal C. sagittal D. oblique"
    assert asked("closed") == Turn("c1/s", closed, "B. coronal")
    assert asked("yes_no") == Turn("c1/s", "Is there ascites?", "yes")


def test_kinds_come_in_the_order_of_the_recipe_and_only_of_the_part(store):
    kinds = ("yes_no", "reports")
    found = turns(store, "grouped", "validation", kinds)
    assert [turn.image for turn in found] == ["c6/s", "c6/s"]
    assert found[0].question == "Is there ascites?"


def test_a_kind_that_the_store_lacks_stops_the_run(tmp_path):
    store = tiny.write_store(tmp_path / "s")
    (store.folder / "questions" / "M3D_VQA_yn_train.csv").unlink()
    with pytest.raises(UnusableData, match=r"nothing of yes_no in train.*6 reports, 6 open"):
        turns(open_store(store.folder), "grouped", "train", ["reports", "yes_no"])


def test_a_question_with_a_missing_choice_is_asked_openly_alone(tmp_path):
    store = tiny.write_store(tmp_path / "s")
    short = replace(tiny.question("c0/s", 0), choices=("axial", "", "sagittal", "oblique"))
    path = store.folder / "questions" / "M3D_VQA_train.csv"
    write_questions(path, [short, tiny.question("c1/s", 1)])
    store = open_store(store.folder)
    assert len(turns(store, "grouped", "train", ["open"])) == 2
    assert [turn.image for turn in turns(store, "grouped", "train", ["closed"])] == ["c1/s"]


def test_what_was_taken_out_is_read_and_never_learnt(script):
    turn = Turn("c0/s", None, "There is [NAME] ascites.")
    example = script.example(turn, rng())
    whole = script.tokenizer.encode(f"{'<im_patch>' * 8}Describe the findings. {turn.answer}")
    said = [
        whole.tokens[place]
        for place in range(len(whole.tokens))
        if example.labels[place] != IGNORED
    ]
    assert "[" not in "".join(said)
    assert "NAME" not in "".join(said)
    assert len(said) >= 3
    assert example.labels[-1] == script.eos_id


def test_unknown_words_are_counted_and_placeholders_are_none(script):
    asked = [Turn("c0/s", None, f"{word} ascites.") for word in ("There is zyxwarth", "[NAME]")]
    tokens, words = script.unknown(asked)
    assert [word.strip() for word in words if word.strip()] == ["zyxwarth"]
    assert tokens > 4
