"""What a variant is tested on, what it gave, and the score of every single item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from engine.inference.local import LocalEngine
from training.ablation.variants import settings
from training.evaluation.findings.reader import default_vocabulary, read_findings
from training.evaluation.findings.score import counts
from training.evaluation.folder import Output, read_outputs
from training.evaluation.items import Item, question_items, report_items
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.published import DIRECTIONS, RANKS
from training.evaluation.questions import judged, letter_occurs
from training.evaluation.retrieval import (
    PairSystem,
    embed_images,
    embed_texts,
    pool_sizes,
    ranks,
)
from training.evaluation.scores import score_texts
from training.evaluation.systems import ModelSystem
from training.learner.material import Material
from training.recipe.recipe import Recipe

Array = NDArray[np.float64]
Scores = Mapping[str, Array]
"""By what is measured, a score of each item, (n,) or (n, m)."""

FINDINGS, CORRECT = "findings", "correct"
SIMILARITY = "similarity.safetensors"
BATCH = 16


class Scoring:
    """The test items of an ablation.

    Parameters
    ----------
    material : Material
        The store and its split.
    recipe : Recipe
        With its table `ablation`.
    """

    def __init__(self, material: Material, recipe: Recipe) -> None:
        self.material, self.settings = material, settings(recipe)

    @cached_property
    def pairs(self) -> list[Item]:
        return report_items(self.material.store, self.material.split, None)

    @cached_property
    def reports(self) -> list[Item]:
        return self.pairs[: self.settings.reports]

    @cached_property
    def questions(self) -> list[Item]:
        """Open and closed questions; those with yes or no are in no table of the paper."""
        store, split = self.material.store, self.material.split
        items = question_items(store, split, self.settings.questions)
        return [item for item in items if item.task != "yes/no"]

    def asked(self, task: str) -> list[Item]:
        return [item for item in self.questions if item.task == task]

    def embed(self, checkpoint: Path, folder: Path) -> None:
        """Write the similarity of every test image and text, (images, texts)."""
        folder.mkdir(parents=True, exist_ok=True)
        system, store = PairSystem.load(checkpoint), self.material.store
        keys = [item.image for item in self.pairs]
        images = embed_images(system, store, keys, folder / "images", BATCH)
        texts = embed_texts(system, [item.reference for item in self.pairs], BATCH)
        save_file({"similarity": (images @ texts.T).double().numpy()}, folder / SIMILARITY)

    def write(self, checkpoint: Path, folder: Path) -> None:
        """Let a model write the test reports and answers, greedily."""
        folder.mkdir(parents=True, exist_ok=True)
        system = ModelSystem(
            LocalEngine.load(checkpoint, device="cpu", dtype="float32"),
            self.material.store,
            decodings=("greedy",),
            max_new_tokens=self.settings.max_new_tokens,
            batch=BATCH,
        )
        for items in (self.reports, self.questions):
            system.texts(items, folder)

    def recalled(self, folder: Path) -> dict[str, Array]:
        """Score a pair: by `recall_name` whether each item of a pool is found."""
        similarity = load_file(folder / SIMILARITY)["similarity"]
        scores = {}
        for (_, label), matrix in zip(DIRECTIONS, (similarity, similarity.T), strict=True):
            for n in self.pools:
                found = ranks(matrix[:n, :n])
                for k in RANKS:
                    scores[recall_name(label, k, n)] = (found < k).astype(np.float64)
        return scores

    @property
    def pools(self) -> list[int]:
        return pool_sizes(len(self.pairs))

    def reported(self, folder: Path, metrics: Sequence[TextMetric]) -> dict[str, Array]:
        """Score a model's reports with every metric that can be computed, and their findings."""
        texts = [output.text for output in _outputs(folder, self.reports)]
        vocabulary = default_vocabulary()
        wanted = [read_findings(item.reference, vocabulary) for item in self.reports]
        said = [read_findings(text, vocabulary) for text in texts]
        found = counts(wanted, said, vocabulary.findings, "strict").sum(axis=1)
        return {**score_texts(metrics, self.reports, texts).scores, FINDINGS: found}

    def answered(self, folder: Path, metrics: Sequence[TextMetric]) -> dict[str, Array]:
        """Score a model's answers to open questions."""
        items = self.asked("open")
        texts = [output.text for output in _outputs(folder, items)]
        return score_texts(metrics, items, texts).scores

    def chosen(self, folder: Path) -> dict[str, Array]:
        """Score a model's answers to closed questions: the letter and a full stop occur."""
        items = self.asked("closed")
        return {CORRECT: judged(letter_occurs, items, _outputs(folder, items))}


def recall_name(label: str, k: int, n: int) -> str:
    """Name a recall: direction as the paper labels it, K, and the pairs in the pool."""
    return f"{label} R@{k} of {n}"


def averaged(scores: Sequence[Scores]) -> dict[str, Array]:
    """Average the scores of each item over seeds."""
    return {name: np.mean([one[name] for one in scores], axis=0) for name in scores[0]}


def _outputs(folder: Path, items: Sequence[Item]) -> list[Output]:
    outputs = read_outputs(folder / "greedy.jsonl")
    return [outputs[item.key] for item in items]
