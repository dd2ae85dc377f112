"""`ctscribe ask`: a question about a study, without network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dicom_io.slices.read import read_study
from engine import load_engine
from engine.inference.question import choice_answer, question_prompt, require_distinct
from engine.protocol import Answer, FinishReason, Generation
from plugin.console import say
from plugin.drafting.writing.pipeline import read_images
from plugin.drafting.writing.regions import reason_to_withhold

NOTICE = "AI ANSWER - NOT VERIFIED"

UNFINISHED: dict[FinishReason, str] = {
    "length": "the answer was cut off: it reached the limit of new tokens",
    "repetition": "the answer was cut off: the model only repeated itself",
}


def ask_study(
    paths: Sequence[Path],
    question: str,
    choices: Sequence[str],
    *,
    model: str,
    device: str,
    as_json: bool,
) -> None:
    """Let a model answer a question about the study in some files, and print the answer.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders of one study.
    question : str
        In plain words.
    choices : sequence of str
        Possible answers, two or more; none for an open question.
    model, device : str
        As `engine.load_engine` takes them.
    as_json : bool
        Whether one JSON object is printed in place of the answer.

    Raises
    ------
    DicomError
        The files hold no usable study, or more than one.
    EngineError
        The model answers no questions, or the question is none.
    """
    require_distinct(choices)
    question_prompt(question, choices)  # before minutes are spent on reading
    console = Console(stderr=True, quiet=as_json)
    with console.status("load the model") as status:
        engine = load_engine(model, device=device)
        status.update("read the headers")
        study = read_study(paths)
        choice, _, model_input = read_images(study, engine.preprocess, status.update)
        status.update("let the model answer")
        regions = engine.identity.regions
        if reason := reason_to_withhold(regions, choice.instances[0].header):
            answer = Answer(Generation.withheld(engine.identity, reason))
        else:
            answer = engine.ask(model_input, question, choices)
    if as_json:
        found = answer_to_dict(answer) | {"study_instance_uid": study.study_instance_uid}
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        say("\n".join(_lines(answer)))


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """Plain values of an answer, for JSON."""
    generation, choice = answer.generation, answer.choice
    return {
        "notice": NOTICE,
        "answer": generation.text if choice is None else choice.text,
        "letter": None if choice is None else choice.letter,
        "choices": [vars(one) for one in answer.choices],
        "text": generation.text,
        "finish_reason": generation.finish_reason,
        "abstained": generation.abstained,
        "model": {
            "name": generation.identity.name,
            "version": generation.identity.version,
            "digest": generation.identity.digest,
        },
    }


def _lines(answer: Answer) -> list[str]:
    generation, choice = answer.generation, answer.choice
    identity = generation.identity
    notice = f"{NOTICE}. Written by the model {identity.name} {identity.version}."
    if generation.abstained is not None:
        return [notice, f"No answer: {generation.abstained}."]
    if choice is None:
        unfinished = UNFINISHED.get(generation.finish_reason)
        return [notice, generation.text, *([f"Note: {unfinished}."] if unfinished else [])]
    likely = sorted(answer.choices, key=lambda one: -one.probability)
    shown = [f"{one.probability:6.1%}  {choice_answer(one.letter, one.text)}" for one in likely]
    return [notice, choice_answer(choice.letter, choice.text), *shown]
