import numpy as np

from dicom_io.phantoms.truth import draw_truth
from engine.checkpoints.tokenizer_files import read_tokenizer
from training.data.phantoms.text import PROMPT, facts_text, report_text
from training.wording.tokenizer import SPECIAL, build_tokenizer
from training.wording.vocabulary import FOLDER


def test_text_comes_back_character_by_character():
    text = "Technique: axial, delayed. Findings: There is ascites."
    tokenizer = build_tokenizer([text])
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_come_first():
    tokenizer = build_tokenizer(["a b"])
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == list(range(len(SPECIAL)))


def test_an_unseen_word_is_unknown():
    tokenizer = build_tokenizer(["a b"])
    assert tokenizer.token_to_id("<unk>") in tokenizer.encode("a nodule").ids


def test_the_vocabulary_knows_every_word_of_reports_facts_and_prompt():
    tokenizer, rng = read_tokenizer(FOLDER), np.random.default_rng(77)
    unknown = tokenizer.token_to_id("<unk>")
    for _ in range(300):
        truth = draw_truth(rng)
        for text in (report_text(truth, rng), facts_text(truth), PROMPT):
            assert unknown not in tokenizer.encode(text).ids
