"""Train the variants, score them, and lay the paper's tables out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dicom_io.errors import RecipeError, UnusableData
from engine.checkpoints.folder import digest_of
from training.ablation.comparisons import METEOR, comparison_table, comparisons, said
from training.ablation.given import read_given, with_language_model
from training.ablation.jobs import Job, once, run_jobs
from training.ablation.matrix import Matrix
from training.ablation.scores import read_found
from training.ablation.tables import Layout
from training.ablation.variants import TABLES, models_of, settings
from training.data.phantoms.prepare import write_phantoms
from training.evaluation.folder import claimed
from training.evaluation.items import report_items
from training.evaluation.metrics.text_metrics import TextMetric
from training.evaluation.printed.tables import Table, write_tables
from training.evaluation.scores import score_texts, versions
from training.learner.material import Material, open_material
from training.recipe.recipe import Recipe


def run_ablation(
    recipe: Recipe,
    out: Path,
    metrics: Sequence[TextMetric],
    *,
    data: Path | None = None,
    seeds: Sequence[int] = (1,),
    tables: Sequence[int] = TABLES,
    given: Sequence[str] = (),
    llm: str | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Train and score what some of the paper's tables compare; a killed run goes on.

    The tables are written after each seed, of the seeds so far.

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
    given : sequence of str
        "VARIANT=CHECKPOINT" for what is not trained (`training.ablation.given`).
    llm : str, optional
        A language model that stands behind all projectors as it is, in place of one that learns to
        write first.
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
    recipe, wanted = with_language_model(recipe, llm), tuple(sorted(set(tables)))
    expected = settings(recipe).seconds
    store = data or _phantoms(recipe, out / "store", processes)
    material = open_material(recipe, store)
    checkpoints = read_given(given, material.store)
    usable, why_not = _usable(metrics, material, wanted)
    facts = {
        "recipe": _decisive(recipe),
        "data": material.describe(),
        "given": {variant: found.digest for variant, found in checkpoints.items()},
    }
    with claimed(out, facts):
        made = [Matrix(recipe, material, out, seed, usable, checkpoints) for seed in seeds]
        everything = once(job for matrix in made for job in matrix.jobs(wanted))
        results: dict[str, Any] = {}
        for count, matrix in enumerate(made, start=1):
            run_jobs(once(matrix.jobs(wanted)), everything, expected)
            found = read_found(made[:count], wanted)
            layout = Layout(recipe, material, found, why_not, checkpoints)
            more = {"seeds": list(seeds[:count]), **_took(everything), "versions": versions()}
            results = write_tables(out, _laid_out(layout, wanted), {**facts, **more})
        return results


def _laid_out(layout: Layout, tables: tuple[int, ...]) -> list[Table]:
    compared = comparisons(layout.found, tables)
    own = [
        replace(table, notes=(*said(compared, table.name), *table.notes))
        for table in layout.tables(tables)
    ]
    return [*own, comparison_table(compared)]


def _took(jobs: Sequence[Job]) -> dict[str, Any]:
    """Say how long each finished job took, on the clock and in processor time."""
    finished = [job for job in jobs if job.seconds is not None]
    return {
        "seconds": {job.name: job.seconds for job in finished},
        "processor_seconds": {job.name: job.processor_seconds for job in finished},
    }


def _usable(
    metrics: Sequence[TextMetric], material: Material, tables: tuple[int, ...]
) -> tuple[list[TextMetric], tuple[str, ...]]:
    """Try every metric before anything is trained; return those that work, and why others do not.

    Raises
    ------
    UnusableData
        METEOR, by which models are compared, is among the others.
    """
    items = report_items(material.store, material.split, 1)
    tried = score_texts(metrics, items, ["tried"])
    if models_of(tables) and METEOR not in tried.scores:
        raise UnusableData(f"{METEOR}: {tried.missing.get(METEOR, 'not among the metrics')}")
    return [metric for metric in metrics if metric.name in tried.scores], tried.notes


def _decisive(recipe: Recipe) -> dict[str, Any]:
    """Return what decides the weights, with the digest of a folder in place of where it lies."""
    exclude: dict[str, Any] = {"run": True, "ablation": {"seconds"}}
    values = recipe.model_dump(mode="json", exclude=exclude)
    for table in ("text_encoder", "llm"):
        folder = Path((values[table] or {}).get("pretrained", ""))
        if values[table] and folder.is_dir():
            values[table]["pretrained"] = digest_of(sorted(folder.iterdir()))
    return values


def _phantoms(recipe: Recipe, folder: Path, processes: int) -> Path:
    if not recipe.seeds:
        raise RecipeError(f"recipe {recipe.name} has no table phantoms; name a store by --data")
    write_phantoms(
        folder, recipe.seeds, recipe.preprocess_spec, kind=recipe.kind, processes=processes
    )
    return folder
