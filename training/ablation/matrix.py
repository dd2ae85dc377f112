"""The variants of a seed: what is trained and evaluated of each, and where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from engine.inference.local import LocalEngine
from training.ablation.given import Given
from training.ablation.jobs import Job
from training.ablation.variants import (
    PAIRS,
    RETRIEVAL,
    SOONEST,
    Model,
    Pair,
    models_of,
    settings,
)
from training.data.questions import TYPES
from training.evaluation.embeddings import PairSystem
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.setting import Setting
from training.evaluation.systems import ModelSystem
from training.evaluation.tasks.questions import evaluate_questions
from training.evaluation.tasks.reports import evaluate_reports
from training.evaluation.tasks.retrieval import evaluate_retrieval
from training.learner.begin import StageName, table_of
from training.learner.material import Material
from training.recipe.recipe import Recipe
from training.recipe.stages import Stage
from training.stages.answers import train_answers
from training.stages.contrastive import train_contrastive
from training.stages.language import train_language

BATCH = 16  # a miniature's, on a CPU


@dataclass(frozen=True, eq=False)
class Matrix:
    """The variants of one seed: where they lie, and how each comes about.

    Parameters
    ----------
    recipe : Recipe
        Of the full model. Its own seed is that of the tower that seeds share.
    material : Material
        The store.
    out : Path
        Of the ablation.
    seed : int
        Takes the place of the recipe's own.
    metrics : sequence of TextMetric
    given : Given
        What is not trained.
    """

    recipe: Recipe
    material: Material
    out: Path
    seed: int
    metrics: Sequence[TextMetric]
    given: Given = field(default_factory=dict)

    def folder_of(self, variant: Pair | Model) -> Path:
        if variant.slug in self.given:  # the same for all seeds
            return self.out / "given" / variant.slug
        kind = "pairs" if isinstance(variant, Pair) else "models"
        if isinstance(variant, Model) and variant.shared and self.seed != self.recipe.seed:
            kind = "models-with-shared-tower"
        return self.out / f"seed-{self.seed}" / kind / variant.slug

    def jobs(self, tables: tuple[int, ...]) -> Iterator[Job]:
        """Yield what has to be done for some tables, so that the first are complete soonest.

        What several need comes several times.
        """
        for alike in SOONEST:
            wanted = tuple(table for table in alike if table in tables)
            for model in models_of(wanted):
                yield from self._of_model(model)
            for pair in PAIRS if RETRIEVAL in wanted else ():
                yield from self._stage_1(pair)
                count = len(self.material.parts["test"])
                work = partial(self._retrieve, pair)
                yield self._job(pair, "retrieval", "retrieval", count, work)

    def _of_model(self, model: Model) -> Iterator[Job]:
        if model.slug not in self.given:
            yield from self._with_tower_of(model)._stage_1(model.pair)
            if (stage := self.recipe.language) is not None:
                name = f"language model, seed {self.seed}"
                yield Job("language", name, self._language, _steps(stage), self._teach_language)
            yield self._stage(model, 2, "projector", self._project)
            yield self._stage(model, 3, "finetune", self._finetune)
        yield from self._tests_of(model)

    def _tests_of(self, model: Model) -> Iterator[Job]:
        """Reports and questions, scored by these metrics; by others they are scored anew."""
        asked, metrics = settings(self.recipe), "-".join(metric.name for metric in self.metrics)
        counts = {"reports": asked.reports, "questions": 2 * len(TYPES) * asked.questions}
        for kind, count in counts.items():
            work = partial(self._write, model, kind)
            yield self._job(model, kind, f"{kind}/{metrics}", count, work)

    def _stage_1(self, pair: Pair) -> Iterator[Job]:
        if pair.slug not in self.given:
            stage = pair.recipe(self.recipe).contrastive
            assert stage is not None  # a recipe without it has been refused
            work = partial(self._contrast, pair)
            yield self._job(pair, f"stage 1 of {pair.tower}", "run", _steps(stage), work)

    def _stage(
        self, model: Model, number: int, name: StageName, work: Callable[[Model], object]
    ) -> Job:
        kind = f"stage {number} behind {model.pair.tower}"
        units = _steps(table_of(self.recipe, name))
        return self._job(model, kind, name, units, partial(work, model))

    def _job(
        self, variant: Pair | Model, kind: str, folder: str, units: int, work: Callable[[], object]
    ) -> Job:
        own = self.folder_of(variant)
        apart = "" if variant.slug in self.given else f", {own.parent.parent.name}"
        shared = ", shared tower" if own.parent.name.endswith("shared-tower") else ""
        what = kind.partition(" of ")[0].partition(" behind ")[0]
        return Job(kind, f"{what} of {variant.name}{apart}{shared}", own / folder, units, work)

    @property
    def _language(self) -> Path:
        return self.out / f"seed-{self.seed}" / "language"

    @property
    def _seeded(self) -> Recipe:
        return self.recipe.model_copy(update={"seed": self.seed})

    def _with_tower_of(self, model: Model) -> Matrix:
        return replace(self, seed=self.recipe.seed) if model.shared else self

    def _pair(self, pair: Pair) -> Path:
        if pair.slug in self.given:
            return self.given[pair.slug].folder
        return self.folder_of(pair) / "run" / "checkpoint"

    def _contrast(self, pair: Pair) -> None:
        train_contrastive(pair.recipe(self._seeded), self.material, self.folder_of(pair) / "run")

    def _retrieve(self, pair: Pair) -> None:
        system = PairSystem.load(self._pair(pair))
        evaluate_retrieval(self._setting(self.folder_of(pair) / "retrieval"), system, BATCH)

    def _teach_language(self) -> None:
        train_language(self._seeded, self.material, self._language)

    def _project(self, model: Model) -> None:
        self._answers("projector", model, self._with_tower_of(model)._pair(model.pair))

    def _finetune(self, model: Model) -> None:
        self._answers("finetune", model, self.folder_of(model) / "projector" / "checkpoint")

    def _answers(self, stage: StageName, model: Model, start: Path) -> None:
        recipe = model.recipe(self._seeded)
        shared = {"features": str(self.out / "features")}
        tables: dict[str, object] = {stage: table_of(recipe, stage).model_copy(update=shared)}
        if recipe.language is not None:
            assert recipe.llm is not None
            taught = {"pretrained": str(self._language / "checkpoint")}
            tables["llm"] = recipe.llm.model_copy(update=taught)
        recipe = recipe.model_copy(update=tables)
        train_answers(stage, recipe, self.material, self.folder_of(model) / stage, str(start))

    def _write(self, model: Model, kind: str) -> None:
        asked, given = settings(self.recipe), self.given.get(model.slug)
        folder = given.folder if given else self.folder_of(model) / "finetune" / "checkpoint"
        dtype = "auto" if given else "float32"
        system = ModelSystem(
            LocalEngine.load(folder, dtype=dtype),
            self.material.store,
            decodings=("greedy",),
            max_new_tokens=asked.max_new_tokens,
            batch=BATCH,
            dtype=dtype,
        )
        evaluate = evaluate_reports if kind == "reports" else evaluate_questions
        limit = asked.reports if kind == "reports" else asked.questions
        evaluate(self._setting(self.folder_of(model) / kind, limit), system, self.metrics)

    def _setting(self, folder: Path, limit: int | None = None) -> Setting:
        return Setting(self.material.store, self.material.split, folder, limit)


def _steps(stage: Stage) -> int:
    return stage.steps or stage.epochs or 1
