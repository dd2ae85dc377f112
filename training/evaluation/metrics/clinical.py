"""Clinical metrics of other groups, each by the package that defines it, from weights in a folder.

`--metric radgraph=FOLDER`, `ratescore=FOLDER`, `crimson=FOLDER`, `green=FOLDER`. None of their
weights is here: the adapters are tested against stand-ins with the packages' own signatures
(radgraph 0.1.18, ratescore 0.6.0, crimson-score 0.2.0; green-score from its repository).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dicom_io.errors import UnusableData
from training.evaluation.metrics.text_metrics import Scores, TextMetric

log = logging.getLogger(__name__)

Scorer = Callable[[list[str], list[str]], Sequence[float | None]]
"""Predictions and references to one figure a pair; None where a judge's answer was no answer."""


@dataclass(frozen=True)
class ClinicalMetric:
    """A metric whose package takes lists of reports.

    An empty prediction scores 0, and so does one that a judge has no figure for.
    """

    name: str
    scorer: Scorer

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> Scores:
        scores = np.zeros(len(predictions))
        written = [i for i, text in enumerate(predictions) if text.strip()]
        if written:
            with _alone(self.name):
                found = self.scorer(
                    *([texts[i] for i in written] for texts in (predictions, references))
                )
            scores[written] = [0.0 if one is None else one for one in found]
            if unread := sum(one is None for one in found):
                log.warning(
                    "%s: %d of %d texts have no figure and count 0", self.name, unread, len(written)
                )
        return scores


def radgraph(weights: Path | None) -> TextMetric:
    """F1 of entities and relations (Jain 2021), "partial"; FOLDER holds `radgraph-xl`, unpacked.

    The text model that its `config.json` names must lie in Hugging Face's cache.
    """
    # an empty folder would be filled from the network
    folder = _needed(weights, "radgraph", "radgraph-xl/config.json", "radgraph-xl/weights.th")
    with _alone("radgraph"):
        from radgraph import F1RadGraph

        compute: Any = F1RadGraph(
            reward_level="partial", model_type="radgraph-xl", model_cache_dir=str(folder)
        )
    return ClinicalMetric("RadGraph F1", lambda said, wanted: compute(refs=wanted, hyps=said)[1])


def ratescore(weights: Path | None) -> TextMetric:
    """RaTEScore (Zhao 2024); FOLDER holds `RaTE-NER-Deberta` and `BioLORD-2023-C`."""
    folder = _needed(weights, "ratescore", "RaTE-NER-Deberta", "BioLORD-2023-C")
    with _alone("ratescore"):
        import torch
        from RaTEScore import RaTEScore

        compute: Any = RaTEScore(
            bert_model=str(folder / "RaTE-NER-Deberta"),
            eval_model=str(folder / "BioLORD-2023-C"),
            use_gpu=torch.cuda.is_available(),
        )
    return ClinicalMetric("RaTEScore", compute.compute_score)


def crimson(weights: Path | None) -> TextMetric:
    """CRIMSON, from -1 to 1: a language model weighs errors; FOLDER holds its weights."""
    folder = _needed(weights, "crimson", "config.json")
    with _alone("crimson"):
        from CRIMSON.generate_score import CRIMSONScore

        judge: Any = CRIMSONScore(api="hf", model_name=str(folder))

    def scored(said: list[str], wanted: list[str]) -> list[float | None]:
        results = judge.evaluate_batch(wanted, said)
        return [float(one["crimson_score"]) if one else None for one in results]

    return ClinicalMetric("CRIMSON", scored)


def green(weights: Path | None) -> TextMetric:
    """GREEN (Ostmeier 2024): a language model lists errors; FOLDER holds its weights."""
    folder = _needed(weights, "green", "config.json")
    from green_score import GREEN

    def scored(said: list[str], wanted: list[str]) -> list[float | None]:
        with TemporaryDirectory() as texts:  # it writes all reports into a table there
            judge: Any = GREEN(str(folder), output_dir=texts)
            return list(judge(refs=wanted, hyps=said)[2])

    return ClinicalMetric("GREEN", scored)


def _needed(weights: Path | None, name: str, *contents: str) -> Path:
    """Refuse to begin without weights: the packages would fetch them from the network."""
    lacks = [one for one in contents if weights is None or not (weights / one).exists()]
    if weights is None or lacks:
        raise UnusableData(f"metric {name} needs weights: {name}=FOLDER with {', '.join(lacks)}")
    return weights


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep a package off the network, and off standard output, which `--json` needs.

    The packages name models on Hugging Face's hub in places that no argument of theirs reaches.
    """
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        with redirect_stdout(sys.stderr):
            yield
    except OSError as error:
        raise UnusableData(f"metric {name} needs a file that is not here: {error}") from error
    finally:
        constants.HF_HUB_OFFLINE = before
