"""Clinical metrics of other groups, each by the package that defines it, from weights in a folder.

`--metric radgraph=FOLDER`, `ratescore=FOLDER`, `crimson=FOLDER`, `green=FOLDER`. None of their
weights is here: the adapters are tested against stand-ins with the packages' own signatures
(radgraph 0.1.18, ratescore 0.6.0, crimson-score 0.2.0; green-score is not on PyPI and was written
from its README).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicom_io.errors import UnusableData
from training.evaluation.metrics.text_metrics import Scores, TextMetric

Scorer = Callable[[list[str], list[str]], Sequence[float]]
"""Predictions and references to one figure a pair."""


@dataclass(frozen=True)
class ClinicalMetric:
    """A metric whose package takes lists of reports; an empty prediction scores 0."""

    name: str
    scorer: Scorer

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> Scores:
        scores = np.zeros(len(predictions))
        written = [i for i, text in enumerate(predictions) if text.strip()]
        if written:
            pairs = [predictions[i] for i in written], [references[i] for i in written]
            scores[written] = self.scorer(*pairs)
        return scores


def radgraph(weights: Path | None) -> TextMetric:
    """F1 of entities and relations (Jain 2021), "partial"; FOLDER holds `radgraph-xl`."""
    folder = _needed(weights, "radgraph", "radgraph-xl")
    from radgraph import F1RadGraph

    compute: Any = F1RadGraph(
        reward_level="partial", model_type="radgraph-xl", model_cache_dir=str(folder)
    )
    return ClinicalMetric("RadGraph F1", lambda said, wanted: compute(refs=wanted, hyps=said)[1])


def ratescore(weights: Path | None) -> TextMetric:
    """RaTEScore (Zhao 2024); FOLDER holds `RaTE-NER-Deberta` and `BioLORD-2023-C`."""
    folder = _needed(weights, "ratescore", "RaTE-NER-Deberta", "BioLORD-2023-C")
    import torch
    from RaTEScore import RaTEScore

    compute: Any = RaTEScore(
        bert_model=str(folder / "RaTE-NER-Deberta"),
        eval_model=str(folder / "BioLORD-2023-C"),
        use_gpu=torch.cuda.is_available(),
    )
    return ClinicalMetric("RaTEScore", compute.compute_score)


def crimson(weights: Path | None) -> TextMetric:
    """CRIMSON: a language model lists errors by severity; FOLDER holds its weights."""
    folder = _needed(weights, "crimson", "config.json")
    from CRIMSON.generate_score import CRIMSONScore

    judge: Any = CRIMSONScore(api="hf", model_name=str(folder))

    def scored(said: list[str], wanted: list[str]) -> list[float]:
        results = judge.evaluate_batch(wanted, said)
        return [float(result["crimson_score"]) for result in results]

    return ClinicalMetric("CRIMSON", scored)


def green(weights: Path | None) -> TextMetric:
    """GREEN (Ostmeier 2024): a language model lists errors; FOLDER holds its weights."""
    folder = _needed(weights, "green", "config.json")
    from green_score import GREEN

    judge: Any = GREEN(str(folder))
    return ClinicalMetric("GREEN", lambda said, wanted: list(judge(refs=wanted, hyps=said)[2]))


def _needed(weights: Path | None, name: str, *contents: str) -> Path:
    """Refuse to begin without weights: the packages would fetch them from the network."""
    lacks = [one for one in contents if weights is None or not (weights / one).exists()]
    if weights is None or lacks:
        raise UnusableData(f"metric {name} needs weights: {name}=FOLDER with {', '.join(lacks)}")
    return weights
