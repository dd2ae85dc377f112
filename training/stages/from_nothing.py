"""All stages of a model of phantoms, one after the other: from nothing to weights, with a log.

Everything here goes on by itself after a kill. So this has to know only what is finished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import copytree
from typing import Any

from dicom_io.errors import RecipeError
from engine.checkpoints.folder import digest_of
from training.data.phantoms.prepare import write_phantoms
from training.data.shards import locked, write_atomically
from training.learner.begin import StageName
from training.learner.material import Material, open_material
from training.recipe.recipe import Recipe
from training.run.console import say
from training.run.states import claim
from training.stages.answers import train_answers
from training.stages.contrastive import train_contrastive
from training.stages.language import train_language

LOG = "log.json"
_STORE, _WORDS = Path("store"), Path("words")
_STAGES = ("contrastive", "language", "projector", "finetune")
_PACKAGES = ("ctscribe", "torch", "transformers", "numpy")


def train_from_nothing(recipe: Recipe, out: Path, *, processes: int = 1) -> Path:
    """Make the recipe's phantoms, and train all its stages; a killed run goes on.

    Parameters
    ----------
    recipe : Recipe
        With the tables of all stages, and `phantoms`.
    out : Path
        Gets `store`, a folder for each stage, and `log.json`.
    processes : int
        That make phantoms at the same time.

    Returns
    -------
    Path
        Of the model: `out/finetune/checkpoint`.

    Raises
    ------
    RecipeError
        It has no phantoms, or lacks a stage.
    TrainingError
        `out` holds the run of another recipe.
    UnusableData
        Another process trains in `out`.
    """
    if missing := [t for t in ("phantoms", "llm", *_STAGES) if getattr(recipe, t) is None]:
        raise RecipeError(f"recipe {recipe.name} has no table {', '.join(missing)}")
    out.mkdir(parents=True, exist_ok=True)
    words = _words(recipe)
    # a model says what it was made of: of paths only what holds wherever the folder lies
    with locked(out, "trains in"), chdir(out):
        recipe = recipe.model_copy(update={t: _with_words(recipe, t) for t in words})
        decisive = recipe.model_dump(mode="json", exclude={"run": True})
        digests = {t: digest_of(sorted(folder.iterdir())) for t, folder in words.items()}
        claim(Path(), {"recipe": decisive, "words": digests})
        for table, folder in words.items():
            copytree(folder, _WORDS / table, dirs_exist_ok=True)
        log = _Log(Path(LOG))
        for name, work in _Run(recipe, processes).steps():
            log.step(name, work)
    return out / "finetune" / "checkpoint"


def _words(recipe: Recipe) -> dict[str, Path]:
    """Where the vocabularies lie that come with the recipe, by its table."""
    named = {table: getattr(recipe, table) for table in ("text_encoder", "llm")}
    folders = {t: Path(n.pretrained).resolve() for t, n in named.items() if n is not None}
    return {table: folder for table, folder in folders.items() if folder.is_dir()}


def _with_words(recipe: Recipe, table: str) -> Any:
    return getattr(recipe, table).model_copy(update={"pretrained": str(_WORDS / table)})


@dataclass(frozen=True)
class _Run:
    """The steps of a run, in its folder."""

    recipe: Recipe
    processes: int

    def steps(self) -> list[tuple[str, Callable[[], Path]]]:
        return [
            ("store", self._phantoms),
            ("contrastive", self._contrastive),
            ("language", self._language),
            ("projector", self._projector),
            ("finetune", self._finetune),
        ]

    def _phantoms(self) -> Path:
        recipe = self.recipe
        write_phantoms(
            _STORE,
            recipe.seeds,
            recipe.preprocess_spec,
            kind=recipe.kind,
            processes=self.processes,
        )
        return _STORE

    def _contrastive(self) -> Path:
        return train_contrastive(self.recipe, self._material, Path("contrastive"))

    def _language(self) -> Path:
        return train_language(self.recipe, self._material, Path("language"))

    def _projector(self) -> Path:
        assert self.recipe.llm is not None
        llm = self.recipe.llm.model_copy(update={"pretrained": "language/checkpoint"})
        return self._answers(
            "projector", self.recipe.model_copy(update={"llm": llm}), "contrastive/checkpoint"
        )

    def _finetune(self) -> Path:
        return self._answers("finetune", self.recipe, "projector/checkpoint")

    def _answers(self, stage: StageName, recipe: Recipe, start: str) -> Path:
        return train_answers(stage, recipe, self._material, Path(stage), start)

    @property
    def _material(self) -> Material:
        return open_material(self.recipe, _STORE)


class _Log:
    """What was done when, how long it took, and what came out; whole at any moment.

    Parameters
    ----------
    path : Path
        Of the log, which may exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: dict[str, Any] = {}
        if path.exists():
            self._steps = json.loads(path.read_text("utf-8"))["steps"]

    def step(self, name: str, work: Callable[[], Path]) -> None:
        """Do a step, unless it was finished before.

        Parameters
        ----------
        name : str
        work : callable
            Returns the folder that it leaves.
        """
        known = self._steps.setdefault(name, {"calls": 0, "seconds": 0.0})
        if "ended" in known:
            say(f"{name}: finished before")
            return
        say(f"{name}: begins")
        known.setdefault("began", _now())
        known["calls"] += 1
        self._write()
        before = time.monotonic()
        folder = work()
        # without what calls took that were killed
        known["seconds"] = round(time.monotonic() - before, 1)
        known["ended"] = _now()
        weights = sorted(folder.glob("*.safetensors"))
        if weights:
            known["digest"] = digest_of(weights)
        self._write()

    def _write(self) -> None:
        versions = {name: version(name) for name in _PACKAGES}
        write_atomically(
            self._path, json.dumps({"versions": versions, "steps": self._steps}, indent=1) + "\n"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
