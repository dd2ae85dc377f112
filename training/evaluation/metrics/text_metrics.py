"""The paper's metrics of texts, by the libraries that define them: each sample in [0, 1].

The settings are those of the authors' scripts, which call Hugging Face's `evaluate`. Equations 12
to 14 of the paper are not these formulas. An empty prediction scores 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import nltk_data

Scores = NDArray[np.float64]


class TextMetric(Protocol):
    """Compares texts with references."""

    @property
    def name(self) -> str:
        """As the tables head its column."""
        ...

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> Scores:
        """Return one score a pair, in [0, 1], shape (n,).

        Raises
        ------
        UnusableData
            Weights or data that the metric needs are not there.
        """
        ...


class PairMetric:
    """A metric that looks at one pair at a time."""

    def __init__(self, name: str, score_pair: Callable[[str, str], float]):
        self.name, self._score_pair = name, score_pair

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> Scores:
        pairs = zip(predictions, references, strict=True)
        return np.array([self._score_pair(p, r) if p.strip() else 0.0 for p, r in pairs])


def bleu_1(prediction: str, reference: str) -> float:
    """Unigram precision (13a tokens, clipped) times the brevity penalty; case matters."""
    return float(_bleu().corpus_score([prediction], [[reference]]).score) / 100


def rouge_1(prediction: str, reference: str) -> float:
    """F1 of lower-case alphanumeric unigrams, without stemming."""
    return float(_rouge().score(reference, prediction)["rouge1"].fmeasure)


def meteor(prediction: str, reference: str) -> float:
    """METEOR of 2007 as NLTK computes it: exact, stemmed and WordNet matches; α .9, β 3, γ .5."""
    from nltk.tokenize import word_tokenize
    from nltk.translate.meteor_score import single_meteor_score

    nltk_data.require()
    words = word_tokenize(reference), word_tokenize(prediction)
    return float(single_meteor_score(*words, alpha=0.9, beta=3, gamma=0.5))


BLEU_1 = PairMetric("BLEU-1", bleu_1)
ROUGE_1 = PairMetric("ROUGE-1", rouge_1)
METEOR = PairMetric("METEOR", meteor)


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(max_ngram_order=1, smooth_method="none", tokenize="13a")


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1"], use_stemmer=False)
