"""`ctscribe eval ablation`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from training.commands.options import (
    EXISTING,
    bert_score_option,
    json_option,
    processes_option,
    results_option,
    set_option,
)

TABLE_NUMBERS = ("5", "6", "7", "8", "9", "10", "11")


@click.command()
@results_option
@click.option(
    "--recipe", default="ablation", help="Recipe of the full model: a name, or a TOML file."
)
@set_option
@click.option(
    "--data",
    type=EXISTING,
    help="Store of phantoms. Without it the recipe's are made in OUT/store.",
)
@click.option(
    "--tables",
    multiple=True,
    type=click.Choice(TABLE_NUMBERS),
    help="Table of the paper to make. May be repeated; all without it.",
)
@click.option(
    "--seeds",
    multiple=True,
    type=click.IntRange(0),
    default=(1, 2, 3),
    help="Seed to train everything with. May be repeated.",
)
@click.option(
    "--given",
    multiple=True,
    metavar="VARIANT=CHECKPOINT",
    help="Take this pair or model as it is and do not train it. May be repeated.",
)
@click.option(
    "--llm",
    help="Language model behind all projectors, in place of one that learns to write first.",
)
@bert_score_option
@processes_option
@json_option
def ablation(
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    data: Path | None,
    tables: tuple[str, ...],
    seeds: tuple[int, ...],
    given: tuple[str, ...],
    llm: str | None,
    bert_score: str,
    processes: int,
    as_json: bool,
) -> None:
    """Tables 5 to 11 in miniature: train and compare variants.

    The paper's variants are trained on phantoms, one seed after the other.
    The tables are written after each seed.
    """
    from training.ablation.run import run_ablation
    from training.evaluation.metrics.bertscore import BertScore
    from training.evaluation.metrics.text_metrics import BLEU_1, METEOR, ROUGE_1
    from training.recipe.recipe import load_recipe

    results = run_ablation(
        load_recipe(recipe, changes),
        out,
        [BLEU_1, ROUGE_1, METEOR, BertScore(bert_score)],
        data=data,
        seeds=tuple(dict.fromkeys(seeds)),
        tables=tuple(map(int, tables or TABLE_NUMBERS)),
        given=given,
        llm=llm,
        processes=processes,
    )
    if as_json:
        click.echo(json.dumps(results))
        return
    for table in results["tables"]:
        click.echo((out / f"{table['name']}.md").read_text("utf-8"))
