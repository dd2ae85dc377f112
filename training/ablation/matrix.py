"""What is trained and evaluated, one thing after the other; what is finished stays finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from rich.console import Console

from engine.inference.local import LocalEngine
from training.ablation.variants import Model, Pair, models_of, pairs_of, settings
from training.data.shards import write_atomically
from training.evaluation.embeddings import PairSystem
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.setting import Setting
from training.evaluation.systems import ModelSystem
from training.evaluation.tasks.questions import evaluate_questions
from training.evaluation.tasks.reports import evaluate_reports
from training.evaluation.tasks.retrieval import evaluate_retrieval
from training.learner.begin import StageName
from training.learner.material import Material
from training.recipe.recipe import Recipe
from training.stages.answers import train_answers
from training.stages.contrastive import train_contrastive
from training.stages.language import train_language

FINISHED = "finished.json"
BATCH = 16  # a miniature's, on a CPU


@dataclass(frozen=True)
class Job:
    """One call of what is behind `train` or `eval`, which goes on by itself when it was killed.

    Parameters
    ----------
    kind : str
        Jobs of a kind take about as long.
    name : str
        What is done, on the terminal.
    folder : Path
        Says that it is finished.
    work : callable
    """

    kind: str
    name: str
    folder: Path
    work: Callable[[], object]

    @property
    def seconds(self) -> float | None:
        """How long it took, without what went on before it was killed; None while unfinished."""
        path = self.folder / FINISHED
        return float(json.loads(path.read_text("utf-8"))["seconds"]) if path.exists() else None

    def run(self) -> None:
        started = time.monotonic()
        self.work()
        self.folder.mkdir(parents=True, exist_ok=True)
        seconds = {"seconds": round(time.monotonic() - started, 1)}
        write_atomically(self.folder / FINISHED, json.dumps(seconds))


def run_jobs(jobs: Sequence[Job]) -> None:
    """Run what is not finished, saying how far it is and how long the rest will take."""
    console = Console(stderr=True)
    for number, job in enumerate(jobs, start=1):
        if job.seconds is None:
            console.print(f"[{number}/{len(jobs)}] {job.name}{_left(jobs)}", markup=False)
            job.run()


def _left(jobs: Sequence[Job]) -> str:
    """Say how long the rest takes, by the jobs of the same kind that are finished."""
    known = [(job.kind, job.seconds) for job in jobs if job.seconds is not None]
    if not known:
        return ""
    everything = fmean(seconds for _, seconds in known)
    left = 0.0
    for job in jobs:
        if job.seconds is None:
            alike = [seconds for kind, seconds in known if kind == job.kind]
            left += fmean(alike) if alike else everything
    return f", {timedelta(seconds=round(left))} left"


@dataclass(frozen=True, eq=False)
class Matrix:
    """The variants of one seed: where they lie, and how each comes about.

    Parameters
    ----------
    recipe : Recipe
        Of the full model.
    material : Material
        The store.
    out : Path
        Of the ablation.
    seed : int
        Takes the place of the recipe's own.
    metrics : sequence of TextMetric
    """

    recipe: Recipe
    material: Material
    out: Path
    seed: int
    metrics: Sequence[TextMetric]

    def folder_of(self, variant: Pair | Model) -> Path:
        kind = "pairs" if isinstance(variant, Pair) else "models"
        return self.out / f"seed-{self.seed}" / kind / variant.name.lower().replace(" ", "-")

    def jobs(self, tables: tuple[int, ...]) -> Iterator[Job]:
        """Yield what has to be done for some tables, in an order in which it can be done."""
        for pair in pairs_of(tables):
            yield self._job("stage 1", pair, "run", lambda p=pair: self._contrast(p))
            yield self._job("retrieval", pair, "retrieval", lambda p=pair: self._retrieve(p))
        if models := models_of(tables):
            name = f"language model, seed {self.seed}"
            yield Job("language", name, self._language, self._teach_language)
        metrics = "-".join(metric.name for metric in self.metrics)  # others are scored anew
        for model in models:
            yield self._job("stage 2", model, "projector", lambda m=model: self._project(m))
            yield self._job("stage 3", model, "finetune", lambda m=model: self._finetune(m))
            for kind in ("reports", "questions"):
                folder = f"{kind}/{metrics}"
                yield self._job(kind, model, folder, lambda m=model, k=kind: self._write(m, k))

    @property
    def _language(self) -> Path:
        return self.out / f"seed-{self.seed}" / "language"

    @property
    def _seeded(self) -> Recipe:
        return self.recipe.model_copy(update={"seed": self.seed})

    def _job(self, kind: str, variant: Pair | Model, folder: str, work: object) -> Job:
        name = f"{kind} of {variant.name}, seed {self.seed}"
        return Job(kind, name, self.folder_of(variant) / folder, work)  # type: ignore[arg-type]

    def _contrast(self, pair: Pair) -> None:
        train_contrastive(pair.recipe(self._seeded), self.material, self.folder_of(pair) / "run")

    def _retrieve(self, pair: Pair) -> None:
        system = PairSystem.load(self.folder_of(pair) / "run" / "checkpoint")
        evaluate_retrieval(self._setting(self.folder_of(pair) / "retrieval"), system, BATCH)

    def _teach_language(self) -> None:
        train_language(self._seeded, self.material, self._language)

    def _project(self, model: Model) -> None:
        self._answers("projector", model, self.folder_of(model.pair) / "run" / "checkpoint")

    def _finetune(self, model: Model) -> None:
        self._answers("finetune", model, self.folder_of(model) / "projector" / "checkpoint")

    def _answers(self, stage: StageName, model: Model, start: Path) -> None:
        recipe = model.recipe(self._seeded)
        shared = {"features": str(self.out / "features")}
        table = getattr(recipe, stage).model_copy(update=shared)
        assert recipe.llm is not None
        llm = recipe.llm.model_copy(update={"pretrained": str(self._language / "checkpoint")})
        recipe = recipe.model_copy(update={stage: table, "llm": llm})
        train_answers(stage, recipe, self.material, self.folder_of(model) / stage, str(start))

    def _write(self, model: Model, kind: str) -> None:
        asked = settings(self.recipe)
        system = ModelSystem(
            LocalEngine.load(
                self.folder_of(model) / "finetune" / "checkpoint", device="cpu", dtype="float32"
            ),
            self.material.store,
            decodings=("greedy",),
            max_new_tokens=asked.max_new_tokens,
            batch=BATCH,
        )
        evaluate = evaluate_reports if kind == "reports" else evaluate_questions
        limit = asked.reports if kind == "reports" else asked.questions
        evaluate(self._setting(self.folder_of(model) / kind, limit), system, self.metrics)

    def _setting(self, folder: Path, limit: int | None = None) -> Setting:
        return Setting(self.material.store, self.material.split, folder, limit)
