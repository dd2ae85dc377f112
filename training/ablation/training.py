"""The jobs of an ablation: what variants share is trained once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.ablation.jobs import Job
from training.ablation.scoring import Scoring
from training.ablation.variants import Model, Pair, models_of, pairs_of
from training.learner.begin import StageName
from training.learner.material import Material
from training.recipe.recipe import Recipe
from training.stages.answers import train_answers
from training.stages.contrastive import train_contrastive
from training.stages.language import train_language


class Variants:
    """Where the variants of one seed lie, and how each comes about.

    Parameters
    ----------
    recipe : Recipe
        Of the full model; `seed` takes the place of its own.
    material : Material
        The store.
    out : Path
        Of the ablation.
    """

    def __init__(self, recipe: Recipe, material: Material, out: Path, seed: int) -> None:
        self.recipe = recipe.model_copy(update={"seed": seed})
        self.material, self.seed = material, seed
        self.folder, self.features = out / f"seed-{seed}", out / "features"
        self.scoring = Scoring(material, recipe)

    def folder_of(self, variant: Pair | Model) -> Path:
        kind = "pairs" if isinstance(variant, Pair) else "models"
        return self.folder / kind / variant.name.lower().replace(" ", "-")

    def jobs(self, tables: tuple[int, ...]) -> Iterator[Job]:
        """Yield what has to be done for some tables, in an order in which it can be done."""
        pairs, models = pairs_of(tables), models_of(tables)
        for pair in pairs:
            yield self._job("stage 1", pair, "run", lambda p=pair: self._train_pair(p))
            yield self._job("retrieval", pair, "scores", lambda p=pair: self._score_pair(p))
        if models:
            name = f"language model, seed {self.seed}"
            yield Job("language", name, self.language, self._train_language)
        for model in models:
            yield self._job("stage 2", model, "projector", lambda m=model: self._project(m))
            yield self._job("stage 3", model, "finetune", lambda m=model: self._finetune(m))
            yield self._job("texts", model, "texts", lambda m=model: self._write_texts(m))

    @property
    def language(self) -> Path:
        return self.folder / "language"

    def _job(self, kind: str, variant: Pair | Model, folder: str, work: object) -> Job:
        name = f"{kind} of {variant.name}, seed {self.seed}"
        return Job(kind, name, self.folder_of(variant) / folder, work)  # type: ignore[arg-type]

    def _train_pair(self, pair: Pair) -> None:
        train_contrastive(pair.recipe(self.recipe), self.material, self.folder_of(pair) / "run")

    def _score_pair(self, pair: Pair) -> None:
        folder = self.folder_of(pair)
        self.scoring.embed(folder / "run" / "checkpoint", folder / "scores")

    def _train_language(self) -> None:
        train_language(self.recipe, self.material, self.language)

    def _project(self, model: Model) -> None:
        start = self.folder_of(model.pair) / "run" / "checkpoint"
        self._answers("projector", model, start)

    def _finetune(self, model: Model) -> None:
        self._answers("finetune", model, self.folder_of(model) / "projector" / "checkpoint")

    def _answers(self, stage: StageName, model: Model, start: Path) -> None:
        recipe = model.recipe(self.recipe)
        table = getattr(recipe, stage).model_copy(update={"features": str(self.features)})
        assert recipe.llm is not None
        llm = recipe.llm.model_copy(update={"pretrained": str(self.language / "checkpoint")})
        recipe = recipe.model_copy(update={stage: table, "llm": llm})
        train_answers(stage, recipe, self.material, self.folder_of(model) / stage, str(start))

    def _write_texts(self, model: Model) -> None:
        folder = self.folder_of(model)
        self.scoring.write(folder / "finetune" / "checkpoint", folder / "texts")
