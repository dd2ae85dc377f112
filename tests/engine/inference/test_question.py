from dataclasses import replace

import pytest
from tokenizers import Tokenizer, models

from dicom_io.errors import EngineError
from engine.checkpoints.checkpoint import Checkpoint, Prompt, load_checkpoint, save_checkpoint
from engine.inference.local import LocalEngine
from engine.inference.question import (
    closed_prompt,
    first_tokens,
    known_question,
    question_prompt,
    require_distinct,
    require_known_words,
)
from engine.protocol import Sampling
from tests.engine.conftest import input_for, tiny_tokenizer

KNOWN = ("Is there ascites?", "Which plane is this?")
SHORT = Sampling(max_new_tokens=4)


def test_a_closed_question_lists_its_choices_by_letter():
    assert question_prompt("Where?", ["left", "right"]) == "Where? Choices: A. left B. right"


def test_a_model_that_has_not_learnt_letters_is_asked_openly():
    assert closed_prompt("Where?", ["left", "right"], "texts") == ("Where?", ["left", "right"])
    listed = ("Where? Choices: A. left B. right", ["A. left", "B. right"])
    assert closed_prompt("Where?", ["left", "right"], "letters") == listed


def test_one_choice_is_none_however_it_is_asked():
    with pytest.raises(EngineError, match="2 to 26 choices"):
        closed_prompt("Where?", ["left"], "texts")


NO_TEXTS = ["", " \n", "\ud800", "Is there\udfff ascites?", "nodule\0", "a\x1b[31m", "\x85"]


@pytest.mark.parametrize("odd", NO_TEXTS)
def test_what_is_no_text_is_refused_at_the_border_wherever_it_stands(odd):
    for question, choices in ((odd, ()), (odd, ("left", "right")), ("Where?", ("left", odd))):
        with pytest.raises(EngineError, match=r"must (not be empty|be text)"):
            closed_prompt(question, choices, "letters")


def test_any_script_is_text():
    assert (
        question_prompt("Où?\tПечень 肝臓 \U0001fac1 e\u0301")
        == "Où?\tПечень 肝臓 \U0001fac1 e\u0301"
    )


def test_equal_choices_are_refused_where_a_person_asks():
    require_distinct(["left", "right"])
    for choices in (["left", "right", "Left "], ["NA", "NA"]):
        with pytest.raises(EngineError, match="two choices are equal"):
            require_distinct(choices)


@pytest.mark.parametrize("asked", ["is there  ascites", "IS THERE ASCITES?", "Is there ascites?"])
def test_a_known_question_is_put_in_the_words_of_the_training(asked):
    assert known_question(asked, KNOWN) == "Is there ascites?"


def test_a_model_without_a_list_can_be_asked_anything():
    assert known_question("Why?", ()) == "Why?"


def test_another_question_is_refused_and_the_known_ones_are_named():
    with pytest.raises(EngineError, match=r"Is there ascites\? Which plane is this\?") as refusal:
        known_question("Is Mrs Miller ill?", KNOWN)
    assert "Miller" not in str(refusal.value)


def words(*known: str) -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(["<unk>", *known])}
    return Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))


def test_a_word_that_the_tokenizer_does_not_know_is_refused_by_its_place():
    with pytest.raises(EngineError, match="the question holds a word"):
        require_known_words(words("left"), "where", [])
    with pytest.raises(EngineError, match="choice B holds a word"):
        require_known_words(words("side", "left"), "side", ["left", "right"])
    require_known_words(words("side", "left"), "side", ["left"])


def test_answers_that_begin_alike_cannot_be_weighed():
    tokenizer = tiny_tokenizer()
    assert len(set(first_tokens(tokenizer, "the", ["liver", "spleen"])[1])) == 2
    with pytest.raises(EngineError, match="same token"):
        first_tokens(tokenizer, "the", ["liver spleen", "liver"])


def test_choices_by_their_texts_are_weighed_by_what_is_written_first(checkpoint: Checkpoint):
    prompt = Prompt("describe the liver", answers_questions=True, closed="texts")
    engine = LocalEngine(replace(checkpoint, prompt=prompt))
    volume, choices = input_for(checkpoint.preprocess), ["liver", "spleen"]
    answer = engine.ask(volume, "the spleen", choices, SHORT)
    openly = engine.ask(volume, "the spleen", sampling=SHORT)
    assert answer.generation.token_ids == openly.generation.token_ids
    assert [choice.text for choice in answer.choices] == choices
    assert sum(choice.probability for choice in answer.choices) == pytest.approx(1)


def test_a_tokenizer_that_spells_every_word_refuses_none():
    require_known_words(Tokenizer(models.BPE()), "pneumothorax", [])


def test_the_engine_asks_as_the_checkpoint_on_disk_says(checkpoint: Checkpoint, tmp_path):
    prompt = Prompt("describe the liver", answers_questions=True, questions=("the liver",))
    save_checkpoint(replace(checkpoint, prompt=prompt), tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.prompt == prompt
    engine, volume = LocalEngine(loaded), input_for(checkpoint.preprocess)
    answers = [engine.ask(volume, q, sampling=SHORT) for q in ("the liver", "The LIVER?")]
    assert answers[0].generation.token_ids == answers[1].generation.token_ids
    with pytest.raises(EngineError, match="a few questions only: the liver"):
        engine.ask(volume, "the spleen", sampling=SHORT)
    with pytest.raises(EngineError, match="choice B holds a word"):
        engine.ask(volume, "the liver", ["liver", "gallbladder"], SHORT)
