"""The rules on invented sentences: what must go is gone, what should stay is there."""

import tomllib

import pytest

from tests.repository import ROOT
from training.site.deidentify.folding import folded
from training.site.redaction.languages import covered
from training.site.redaction.measured import measure, sentences, stated, table

RULES = ROOT / "training/site/redaction/rules"


@pytest.fixture(scope="module")
def scores():
    return measure()


def test_there_are_sentences_enough_in_every_language(scores):
    assert scores["all"].sentences >= 400
    assert min(scores[language].sentences for language in covered()) >= 25


def test_nearly_every_identifier_goes_and_nearly_every_word_stays(scores):
    assert scores["all"].recall >= 0.99
    assert scores["all"].loss <= 0.01


def test_no_language_is_much_worse_than_the_others(scores):
    assert [name for name, score in scores.items() if score.recall < 0.95] == []
    assert [name for name, score in scores.items() if score.loss > 0.02] == []


def test_the_figures_of_the_data_card_are_those_that_are_measured(scores):
    assert dict(stated()) == dict(scores)


def test_the_table_of_the_page_is_the_one_that_is_measured(scores):
    page = (ROOT / "docs/deidentification.md").read_text("utf-8")
    assert "\n".join(table(scores)) in page


def test_a_leak_of_one_digit_counts():
    sentence = next(one for one in sentences() if one.planted)
    assert len(sentence.leaked([])) == len(sentence.planted)
    assert sentence.lost([]) == []


@pytest.mark.parametrize("name", ["numbers", "dates", "people", "places"])
def test_every_literal_of_a_rule_is_one_that_folded_text_can_have(name):
    parts = tomllib.loads((RULES / "parts.toml").read_text("utf-8"))
    rules = tomllib.loads((RULES / f"{name}.toml").read_text("utf-8"))["rule"]
    texts = [*parts.values(), *(rule["pattern"] for rule in rules if rule["on"] == "folded")]
    letters = {letter for text in texts for letter in text if not letter.isascii()}
    # once more is the same: the pattern of a folded literal matches it in a folded text
    assert [one for one in letters if folded(folded(one)) != folded(one)] == []
