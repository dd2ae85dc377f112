"""`ctscribe eval ablation`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from training.commands.prepare import EXISTING, FOLDER, processes_option

TABLE_NUMBERS = ("5", "6", "7", "8", "9", "10", "11")


@click.command()
@click.option("-o", "--out", required=True, type=FOLDER, help="Run it again to go on.")
@click.option("--recipe", default="ablation", show_default=True, help="A name or a TOML file.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Of the recipe.")
@click.option("--data", type=EXISTING, help="A store; by default the recipe's phantoms are made.")
@click.option(
    "--tables",
    multiple=True,
    type=click.Choice(TABLE_NUMBERS),
    help="Of the paper; may be given several times. All by default.",
)
@click.option(
    "--seeds",
    multiple=True,
    type=click.IntRange(0),
    default=(1,),
    show_default=True,
    help="Train everything for each; may be given several times.",
)
@click.option("--bert-score", "bert_score", default="roberta-large", show_default=True)
@processes_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def ablation(
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    data: Path | None,
    tables: tuple[str, ...],
    seeds: tuple[int, ...],
    bert_score: str,
    processes: int,
    as_json: bool,
) -> None:
    """Tables 5 to 11 in miniature: train the paper's variants on phantoms and compare them."""
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
        processes=processes,
    )
    if as_json:
        click.echo(json.dumps(results))
        return
    for table in results["tables"]:
        click.echo((out / f"{table['name']}.md").read_text("utf-8"))
