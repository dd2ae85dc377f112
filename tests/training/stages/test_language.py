from dataclasses import replace

import numpy as np
import pytest
import torch

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from dicom_io.phantoms.phantom import make_phantom
from engine.checkpoints.description import Prompt
from engine.checkpoints.tokenizer_files import read_tokenizer
from tests.training.stages.small import write_store
from training.data.phantoms.prepare import write_phantoms
from training.data.phantoms.text import PROMPT, facts_text
from training.data.store import open_store
from training.stages.language import Tales
from training.wording.conversation import IGNORED, Script, turns
from training.wording.vocabulary import FOLDER

PLACES = 40


@pytest.fixture(scope="module")
def tales(tmp_path_factory) -> Tales:
    folder = tmp_path_factory.mktemp("store")
    spec = PreprocessSpec(size=(4, 8, 8), window=(-200, 300), scaling="fixed")
    write_phantoms(folder, {"train": range(3)}, spec)
    store = open_store(folder)
    asked = turns(store, "paper", "train", ["reports", "open", "closed"])
    script = Script(read_tokenizer(FOLDER), Prompt(PROMPT), PLACES, 512, (PROMPT,))
    return Tales(store, asked, script)


def test_facts_stand_where_the_image_tokens_will(tales):
    told = tales.example(0, np.random.default_rng(0))
    seed = int(tales.turns[0].image.removeprefix("phantom/"))
    text = tales.script.tokenizer.decode(told.ids[:PLACES].tolist())
    assert text == facts_text(make_phantom(seed, matrix=24).truth)


def test_question_and_answer_are_those_of_the_script_and_the_answer_alone_is_learnt(tales):
    for item, turn in enumerate(tales.turns):
        told = tales.example(item, np.random.default_rng(0))
        written = tales.script.example(turn, np.random.default_rng(0))
        assert torch.equal(told.ids[PLACES:], written.ids[PLACES:])
        assert torch.equal(told.labels, written.labels)
        answer = tales.script.tokenizer.decode(told.labels[told.labels != IGNORED].tolist())
        assert answer.strip() == turn.answer


def test_a_batch_is_filled_up_at_the_right_and_nothing_of_that_is_learnt(tales):
    few = [tales.example(item, np.random.default_rng(0)) for item in (0, len(tales) - 1)]
    ids, labels = tales.collate(few)
    assert ids.shape == labels.shape
    row = min((0, 1), key=lambda i: len(few[i].ids))
    assert (labels[row, len(few[row].ids) :] == IGNORED).all()


def test_facts_that_do_not_fit_are_refused(tales):
    narrow = replace(tales, script=replace(tales.script, image_tokens=8))
    with pytest.raises(UnusableData, match="do not fit into 8 places"):
        narrow.example(0, np.random.default_rng())


def test_images_whose_facts_nobody_knows_are_refused(tales, tmp_path):
    store = open_store(write_store(tmp_path / "store", images=6))
    noise = Tales(store, turns(store, "grouped", "train", ["reports"]), tales.script)
    with pytest.raises(UnusableData, match="no phantom"):
        noise.example(0, np.random.default_rng())
