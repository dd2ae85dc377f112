"""Train the variants, score them, and lay the paper's tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dicom_io.errors import RecipeError, UnusableData
from engine.checkpoints.folder import digest_of
from training.ablation.comparisons import METEOR, BySeed, comparison_table, comparisons, said
from training.ablation.jobs import run_jobs
from training.ablation.scoring import Scores, Scoring
from training.ablation.tables import Layout, lay_out
from training.ablation.training import Variants
from training.ablation.variants import TABLES, models_of, pairs_of
from training.data.phantoms import write_phantoms
from training.evaluation.folder import claimed
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.scores import score_texts, versions
from training.evaluation.tables import write_tables
from training.learner.material import open_material
from training.recipe.recipe import Recipe


def run_ablation(
    recipe: Recipe,
    out: Path,
    metrics: Sequence[TextMetric],
    *,
    data: Path | None = None,
    seeds: Sequence[int] = (1,),
    tables: Sequence[int] = TABLES,
    processes: int = 1,
) -> dict[str, Any]:
    """Train and score what some of the paper's tables compare; a killed run goes on.

    Parameters
    ----------
    recipe : Recipe
        Of the full model, with its table `ablation`.
    out : Path
        Of everything that is made. More seeds and tables may be added later.
    metrics : sequence of TextMetric
    data : Path, optional
        The store; otherwise the recipe's phantoms are made, in `out/store`.
    seeds : sequence of int
        Every variant is trained once for each.
    tables : sequence of int
        Among 5 to 11.
    processes : int
        That make phantoms.

    Returns
    -------
    dict
        What `out/results.json` holds.

    Raises
    ------
    UnusableData
        `out` is of another recipe or store, or METEOR's data are not there.
    CtscribeError
        See the stages.
    """
    wanted = tuple(sorted(set(tables)))
    store = data or _phantoms(recipe, out / "store", processes)
    material = open_material(recipe, store)
    scoring = Scoring(material, recipe)
    usable, why_not = _usable(metrics, scoring, wanted)
    facts = {"recipe": _decisive(recipe), "data": material.describe()}
    with claimed(out, facts):
        variants = [Variants(recipe, material, out, seed) for seed in seeds]
        jobs = [job for one in variants for job in one.jobs(wanted)]
        run_jobs(jobs)
        scores = _scores(scoring, variants, wanted, usable)
        found = comparisons(scoring, scores, wanted)
        made = [
            replace(table, notes=(*said(found, table.name), *table.notes))
            for table in lay_out(Layout(recipe, scoring, scores, why_not), wanted)
        ]
        seconds = {job.name: job.seconds for job in jobs}
        more = {"seeds": list(seeds), "seconds": seconds, "versions": versions()}
        return write_tables(out, [*made, comparison_table(found)], {**facts, **more})


def _usable(
    metrics: Sequence[TextMetric], scoring: Scoring, tables: tuple[int, ...]
) -> tuple[list[TextMetric], tuple[str, ...]]:
    """Try every metric before anything is trained; return those that work, and why others do not.

    Raises
    ------
    UnusableData
        METEOR, by which models are compared, is among the others.
    """
    tried = score_texts(metrics, scoring.reports[:1], ["tried"])
    if models_of(tables) and METEOR not in tried.scores:
        raise UnusableData(f"{METEOR}: {tried.missing.get(METEOR, 'not among the metrics')}")
    return [metric for metric in metrics if metric.name in tried.scores], tried.notes


def _decisive(recipe: Recipe) -> dict[str, Any]:
    """Return what decides the weights, with the digest of a folder in place of where it lies."""
    values = recipe.model_dump(mode="json", exclude={"run", "seed"})
    for table in ("text_encoder", "llm"):
        folder = Path((values[table] or {}).get("pretrained", ""))
        if values[table] and folder.is_dir():
            values[table]["pretrained"] = digest_of(sorted(folder.iterdir()))
    return values


def _phantoms(recipe: Recipe, folder: Path, processes: int) -> Path:
    if not recipe.seeds:
        raise RecipeError(f"recipe {recipe.name} has no table phantoms; name a store by --data")
    write_phantoms(folder, recipe.seeds, recipe.preprocess_spec, processes=processes)
    return folder


def _scores(
    scoring: Scoring,
    variants: Sequence[Variants],
    tables: tuple[int, ...],
    metrics: Sequence[TextMetric],
) -> BySeed:
    """Score what lies on disk of every variant and seed."""
    found: dict[Any, Mapping[str, list[Scores]]] = {}
    for pair in pairs_of(tables):
        folders = [one.folder_of(pair) / "scores" for one in variants]
        found[pair] = {"pairs": [scoring.recalled(folder) for folder in folders]}
    for model in models_of(tables):
        folders = [one.folder_of(model) / "texts" for one in variants]
        found[model] = {
            "reports": [scoring.reported(folder, metrics) for folder in folders],
            "open": [scoring.answered(folder, metrics) for folder in folders],
            "closed": [scoring.chosen(folder) for folder in folders],
        }
    return found
