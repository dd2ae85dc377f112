"""What a fine-tune has changed: reports of the held-out part, before and after, in pairs."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from dicom_io.errors import CtscribeError
from training.learner.material import Material
from training.run.console import say
from training.run.launch import launched_rank, launched_ranks

MOST_TOKENS = 256
"""Of a report, as the service lets a model write."""

_BATCH = 4  # reports at a time: two models are loaded one after the other, and memory stays small


def before_and_after(material: Material, start: str, run: Path, reports: int) -> None:
    """Write `RUN/comparison`: how the model that a run began with writes, and how its result does.

    A finished training is not lost by what fails here: it is told in one line.

    Parameters
    ----------
    material : Material
        Whose test part is held out.
    start : str
        The model that the run began with.
    run : Path
        Of the run.
    reports : int
        The first so many of the test part; 0 leaves it out.
    """
    if not reports or not material.parts["test"] or launched_rank() != 0:
        return
    if launched_ranks() > 1:
        say("no comparison on several ranks: `ctscribe eval report` of both models, `eval compare`")
        return
    gc.collect()  # what was trained may still hold the device
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        _compare(material, start, run, reports)
    except (CtscribeError, ImportError) as error:
        say(f"no comparison of before and after: {error}")


def _compare(material: Material, start: str, run: Path, reports: int) -> None:
    from engine.inference.local import LocalEngine
    from training.evaluation.compare import compare
    from training.evaluation.metrics.text_metrics import BLEU_1, ROUGE_1
    from training.evaluation.setting import Setting
    from training.evaluation.systems import ModelSystem
    from training.evaluation.tasks.reports import evaluate_reports

    folders = []
    for name, model in (("before", start), ("after", str(run / "checkpoint"))):
        folder = run / "comparison" / name
        setting = Setting(material.store, material.split, folder, limit=reports)
        engine = LocalEngine.load(model)
        system = ModelSystem(
            engine,
            material.store,
            decodings=("greedy",),
            dtype="auto",
            max_new_tokens=MOST_TOKENS,
            seed=0,
            batch=_BATCH,
        )
        evaluate_reports(setting, system, [BLEU_1, ROUGE_1])
        folders.append(folder)
    texts = compare(*folders).to_markdown()
    findings = [
        f"## {folder.name.capitalize()}\n\n{(folder / 'findings_greedy.md').read_text('utf-8')}"
        for folder in folders
    ]
    path = run / "comparison" / "comparison.md"
    path.write_text("\n".join(["# Before and after", "", texts, *findings]), "utf-8")
    say(f"before and after: {path}")
