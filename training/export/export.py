"""What stage 2 or 3 has trained becomes one checkpoint that the engine loads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dicom_io.errors import CheckpointMismatch, TrainingError
from engine.checkpoints.checkpoint import Checkpoint, save_checkpoint
from engine.checkpoints.description import ModelCard
from engine.checkpoints.families import part_of
from engine.checkpoints.weights import NAMED_AT_MOST
from training.export import model_card
from training.export.out_of_distribution import read_distribution
from training.learner.adapters import merge_adapters
from training.learner.begin import STAGES, StageName, begin
from training.recipe.recipe import Recipe
from training.recipe.stages import AnswerStage, Finetune, Projector
from training.run import states

SUMMARIES = {
    "projector": "Stage 2: the projector has learnt; the language model has not.",
    "finetune": "Stage 3: projector and language model have learnt; adapters are merged.",
}


def export(
    recipe: Recipe,
    name: StageName,
    weights: Mapping[str, Tensor],
    out: Path,
    about: Mapping[str, Any],
    figures: Mapping[str, float],
) -> Path:
    """Write `out/checkpoint`: the model with what was trained, adapters merged, and its card.

    What the stage began with is loaded again, so that nothing depends on how the weights were
    spread over processes. The vision tower, the projector and whatever else learnt stay in
    float32, the rest in the type that it was trained above.

    Parameters
    ----------
    recipe : Recipe
    name : {"projector", "finetune"}
    weights : mapping
        Trained weights under the names of the stage's module.
    out : Path
        Of the run.
    about : mapping
        What the run was started with: "data", "from" and "digest".
    figures : mapping
        Whatever was measured, for the card.

    Raises
    ------
    CheckpointMismatch
        A trained weight is missing, empty or mis-shaped, or what the stage began with is another
        checkpoint now.
    """
    begun = begin(recipe, name, about["from"])
    start, stage = begun.checkpoint, begun.stage
    if start.digest != about["digest"]:
        raise CheckpointMismatch(f"{about['from']} is not what the run began with any more")
    put_weights(begun.module, weights, stage.forget if isinstance(stage, Projector) else ())
    model = begun.module.model.eval()
    merge_adapters(model)
    said = model_card.provenance(recipe, name, about, figures)
    card = ModelCard(
        recipe.card.name or _name(recipe, name, about),
        recipe.card.version,
        _demonstration(start, about),
        recipe.card.findings or start.card.findings,
        said,
    )
    exported = replace(
        start,
        model=model,
        card=card,
        prompt=replace(
            start.prompt,
            report=_report_question(start, stage),
            answers_questions=set(stage.data) != {"reports"},
            questions=recipe.card.questions or start.prompt.questions,
            closed=_way_of_choices(start, stage),
        ),
        distribution=None if begun.module.sees else read_distribution(out) or start.distribution,
    )
    readme = model_card.readme(card, SUMMARIES[name], tuple(_limits(exported, stage)))
    folder = out / "checkpoint"
    model_card.export(folder, lambda to: save_checkpoint(exported, to, dtype=None), readme)
    return folder


def _name(recipe: Recipe, name: StageName, about: Mapping[str, Any]) -> str:
    """Name the result; what was trained on a site's data is told from any other by their digest."""
    data = about["data"]
    own = f"-{data['digest'][:8]}" if data.get("source") == "site" else ""
    return f"{recipe.name}-{name}{own}"


def export_run(out: Path) -> Path:
    """Export the last state on disk of a run of stage 2 or 3, which may have been killed.

    Raises
    ------
    TrainingError
        There is none.
    """
    names: list[StageName] = [n for n in STAGES if states.latest(out / "states" / n)]
    if not names:
        raise TrainingError(f"{out} holds no state of {' or '.join(STAGES)}")
    folder = out / "states" / names[-1]
    about = json.loads((folder / states.ABOUT).read_text("utf-8"))
    run = {"precision": about["precision"]}
    recipe = Recipe.model_validate({**about.pop("recipe"), "run": run})
    step, weights = states.trained_weights(folder)
    figures = states.figures_at(folder, step)
    return export(recipe, names[-1], weights, out, {**about, "step": step}, figures)


def put_weights(
    module: nn.Module, weights: Mapping[str, Tensor], forgotten: tuple[str, ...] = ()
) -> None:
    """Put trained weights, and buffers that came with them, in their places.

    Parameters
    ----------
    module : nn.Module
        Of the stage.
    weights : mapping
        Under its names.
    forgotten : tuple of str
        Parts of the model that stay as they are.

    Raises
    ------
    CheckpointMismatch
        One is missing, unknown, empty (ZeRO-3 without gathering) or of another shape.
    """
    own = module.state_dict()
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    faults = {
        "missing": trained - weights.keys(),
        "unexpected": weights.keys() - own.keys(),
        "empty": {name for name, tensor in weights.items() if not tensor.numel()},
        "mis-shaped": {n for n in trained & weights.keys() if own[n].shape != weights[n].shape},
    }
    if any(faults.values()):
        named = (f"{k}: {', '.join(sorted(v)[:NAMED_AT_MOST])}" for k, v in faults.items() if v)
        details = tuple(f"{fault}: {n}" for fault, names in faults.items() for n in sorted(names))
        raise CheckpointMismatch(f"the trained weights do not fit; {'; '.join(named)}", details)
    buffers = {name for name, _ in module.named_buffers()} & weights.keys()
    with torch.no_grad():
        for name in trained | buffers:
            if part_of(name.removeprefix("model.")) not in forgotten:
                own[name].copy_(weights[name])


def _demonstration(start: Checkpoint, about: Mapping[str, Any]) -> bool:
    return start.card.demonstration or about["data"]["source"].startswith("phantom")


def _way_of_choices(start: Checkpoint, stage: AnswerStage) -> Literal["letters", "texts"]:
    """Letters have to be learnt; who has not learnt them weighs the choices' texts."""
    if "closed" in stage.data:
        return "letters"
    return start.prompt.closed if start.prompt.answers_questions else "texts"


def _report_question(start: Checkpoint, stage: AnswerStage) -> str:
    """What the checkpoint is asked already, where the stage asks so too, else its first wording."""
    known = start.prompt.report
    return known if known in stage.report_wordings else stage.report_wordings[0]


def _limits(exported: Checkpoint, stage: AnswerStage) -> Iterator[str]:
    yield "It writes drafts; a radiologist has to check every word."
    yield (
        f"Question, answer and image tokens of more than {stage.max_tokens} in all were cut in "
        "training."
    )
    if exported.card.demonstration:
        yield "It learnt from synthetic images; on real ones its words mean nothing."
    if stage.augment:
        yield "Its images were turned and flipped at random: it cannot know left, right and plane."
    if not exported.prompt.answers_questions:
        yield "It learnt reports alone, and answers no questions."
    if exported.distribution is None:
        yield "It does not notice studies that are unlike those that it learnt from."
    if isinstance(stage, Finetune) and stage.quantization != "none":
        yield f"Its language model has the weights that {stage.quantization} left of them."
