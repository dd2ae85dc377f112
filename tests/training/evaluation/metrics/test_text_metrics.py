"""Each metric against its formula written down again, and against figures worked out by hand."""

import re
from collections import Counter
from itertools import pairwise
from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.metrics.text_metrics import (
    BLEU_1,
    METEOR,
    ROUGE_1,
    bleu_1,
    meteor,
    rouge_1,
)

PREDICTIONS = [
    "No pleural effusion. The liver shows a 3.5 cm cyst in the left lobe.",
    "There is a right-sided pleural effusion, about 20 mm deep.",
    "The heart is enlarged; no pericardial effusion.",
    "effusion effusion effusion",
    "An enlarged spleen is seen. The kidneys are unremarkable.",
]
REFERENCES = [
    "No pleural effusion. A cyst of 3.5 cm lies in the left hepatic lobe.",
    "Right pleural effusion (20 mm). Atelectasis of the right lower lobe.",
    "Heart enlarged, without pericardial effusion!",
    "There is an effusion.",
    "Splenomegaly; the kidneys show no abnormality.",
]
PAIRS = list(zip(PREDICTIONS, REFERENCES, strict=True))
WORDS = st.lists(
    st.sampled_from(["liver", "Liver", "cyst", "cysts", "abdomen", "stomach", "no", ".", ","]),
    min_size=1,
    max_size=12,
).map(" ".join)


def tokens_13a(text: str) -> list[str]:
    """mteval-v13a's rules for plain English: punctuation apart, but not inside numbers."""
    text = re.sub(r"([\{-~\[-` -&(-+:-@/])", r" \1 ", text)
    text = re.sub(r"([^0-9])([.,])", r"\1 \2 ", text)
    text = re.sub(r"([.,])([^0-9])", r" \1 \2", text)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", text).split()


def clipped(a: list[str], b: list[str]) -> int:
    return sum((Counter(a) & Counter(b)).values())


def bleu_by_hand(prediction: str, reference: str) -> float:
    p, r = tokens_13a(prediction), tokens_13a(reference)
    brevity = 1.0 if len(p) > len(r) else exp(1 - len(r) / len(p))
    return brevity * clipped(p, r) / len(p)


def rouge_by_hand(prediction: str, reference: str) -> float:
    p, r = (re.findall(r"[a-z0-9]+", text.lower()) for text in (prediction, reference))
    hits = clipped(p, r)
    if not hits:
        return 0.0
    precision, recall = hits / len(p), hits / len(r)
    return 2 * precision * recall / (precision + recall)


def aligned(hypothesis: list[str], reference: list[str]) -> list[tuple[int, int]]:
    """Words that are equal, then those with one stem, then synonyms; each time last words first."""
    from nltk.corpus import wordnet
    from nltk.stem import PorterStemmer

    stem = PorterStemmer().stem

    def synonyms(word: str) -> set[str]:
        names = {name for synset in wordnet.synsets(word) for name in synset.lemma_names()}
        return {name for name in names if "_" not in name} | {word}

    stages = (
        lambda h, r: h == r,
        lambda h, r: stem(h) == stem(r),
        lambda h, r: stem(r) in synonyms(stem(h)),  # NLTK looks the stems up, not the words
    )
    pairs: list[tuple[int, int]] = []
    free_h, free_r = set(range(len(hypothesis))), set(range(len(reference)))
    for agree in stages:
        for i in sorted(free_h, reverse=True):
            match = next(
                (j for j in sorted(free_r, reverse=True) if agree(hypothesis[i], reference[j])),
                None,
            )
            if match is not None:
                pairs.append((i, match))
                free_h.remove(i)
                free_r.remove(match)
    return sorted(pairs)


def meteor_by_hand(prediction: str, reference: str) -> float:
    from nltk.tokenize import word_tokenize

    h, r = ([w.lower() for w in word_tokenize(text)] for text in (prediction, reference))
    pairs = aligned(h, r)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(h), len(pairs) / len(r)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    breaks = sum(b != (a[0] + 1, a[1] + 1) for a, b in pairwise(pairs))
    return mean * (1 - 0.5 * ((1 + breaks) / len(pairs)) ** 3)


@pytest.mark.parametrize(("prediction", "reference"), PAIRS)
def test_bleu_is_clipped_precision_times_brevity(prediction, reference):
    assert bleu_1(prediction, reference) == pytest.approx(bleu_by_hand(prediction, reference))


@pytest.mark.parametrize(("prediction", "reference"), PAIRS)
def test_rouge_is_the_f1_of_unigrams(prediction, reference):
    assert rouge_1(prediction, reference) == pytest.approx(rouge_by_hand(prediction, reference))


@pytest.mark.usefixtures("nltk_files")
@pytest.mark.parametrize(("prediction", "reference"), PAIRS)
def test_meteor_is_the_formula_of_2007(prediction, reference):
    assert meteor(prediction, reference) == pytest.approx(meteor_by_hand(prediction, reference))


@settings(max_examples=50)
@given(WORDS, WORDS)
@pytest.mark.usefixtures("nltk_files")
def test_the_formulas_hold_for_any_words(prediction, reference):
    assert bleu_1(prediction, reference) == pytest.approx(bleu_by_hand(prediction, reference))
    assert rouge_1(prediction, reference) == pytest.approx(rouge_by_hand(prediction, reference))
    assert meteor(prediction, reference) == pytest.approx(meteor_by_hand(prediction, reference))


def test_bleu_worked_out_by_hand():
    # 2 of 3 tokens, and 3 against 4 tokens: exp(1 - 4/3) · 2/3
    assert bleu_1("no large effusion", "no effusion is seen") == pytest.approx(
        exp(1 - 4 / 3) * 2 / 3
    )


def test_rouge_worked_out_by_hand():
    # precision 2/3, recall 2/4
    assert rouge_1("no large effusion", "no effusion is seen") == pytest.approx(4 / 7)


@pytest.mark.usefixtures("nltk_files")
def test_meteor_worked_out_by_hand():
    # "stomach" is a synonym of "abdomen": 3 matches in 1 chunk of 3 and 4 words
    mean = 1 * 0.75 / (0.9 * 1 + 0.1 * 0.75)
    expected = mean * (1 - 0.5 * (1 / 3) ** 3)
    assert meteor("the stomach hurts", "the abdomen hurts .") == pytest.approx(expected)


@pytest.mark.usefixtures("nltk_files")
@pytest.mark.parametrize(
    ("metric", "prediction", "reference", "documented"),
    [
        (bleu_1, "hello there general kenobi", "hello there general kenobi", 1.0),
        (rouge_1, "hello there", "hello there", 1.0),
        (
            meteor,
            "It is a guide to action which ensures that the military always obeys the commands "
            "of the party",
            "It is a guide to action that ensures that the military will forever heed Party "
            "commands",
            0.6944,
        ),
    ],
)
def test_examples_documented_by_hugging_face_come_out(metric, prediction, reference, documented):
    assert metric(prediction, reference) == pytest.approx(documented, abs=5e-5)


@pytest.mark.parametrize("metric", [BLEU_1, ROUGE_1, METEOR], ids=lambda metric: metric.name)
@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_prediction_scores_nothing(metric, empty):
    assert metric.score([empty], ["Ascites."]).tolist() == [0.0]


def test_bleu_minds_case_and_rouge_does_not():
    assert bleu_1("ascites", "Ascites") == 0
    assert rouge_1("ascites", "Ascites") == 1
