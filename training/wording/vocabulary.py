"""The vocabularies of the recipes for phantoms: `training/recipe/words` and `detailed_words`.

`python -m training.wording.vocabulary` writes them.

Every word of the reports, facts and questions of phantoms, and nothing else: what the embedded
model has no word for, it cannot say and refuses to be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from dicom_io.phantoms.detailed.phantom import draw_study
from dicom_io.phantoms.truth import Kind, Truth, draw_truth
from engine.checkpoints.layouts.native import write_end_of_text
from engine.checkpoints.tokenizer_files import TOKENIZER
from engine.inference.question import choice_answer, question_prompt
from training.data.phantoms.questions import questions, yes_no_questions
from training.data.phantoms.text import (
    FINDINGS_OF,
    PROMPT,
    facts_text,
    in_view,
    report_text,
    statements,
)
from training.data.questions import ABSENT, LETTERS
from training.wording.tokenizer import EOS, build_tokenizer

_RECIPES = Path(__file__).parents[1] / "recipe"
FOLDER, DETAILED_FOLDER = _RECIPES / "words", _RECIPES / "detailed_words"
_STUDIES = 400
"""Enough for every wording of everything to be drawn."""


def phantom_tokenizer(kind: Kind = "plain") -> Tokenizer:
    """Build that of a kind of phantoms."""
    return build_tokenizer(_texts(kind))


def write_tokenizer(folder: Path, kind: Kind = "plain") -> None:
    """Write it as a folder that a recipe's `pretrained` can name."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = phantom_tokenizer(kind)
    tokenizer.save(str(folder / TOKENIZER))
    write_end_of_text(folder, EOS, tokenizer.token_to_id(EOS))


def _texts(kind: Kind) -> Iterator[str]:
    rng = np.random.default_rng(0)
    yield PROMPT
    for statement in statements(FINDINGS_OF[kind]):
        yield from statement.wordings
    for truth in _truths(kind, rng):
        yield report_text(truth, rng)
        yield facts_text(truth)
        for asked in (questions, yes_no_questions):
            for q in asked(truth, "", rng, in_view(truth)):
                choices = [choice for choice in q.choices if choice != ABSENT]
                yield question_prompt(q.question, choices)
                yield from map(choice_answer, LETTERS, choices)


def _truths(kind: Kind, rng: np.random.Generator) -> Iterator[Truth]:
    for seed in range(_STUDIES):
        yield draw_truth(rng) if kind == "plain" else draw_study(seed).truth


if __name__ == "__main__":
    write_tokenizer(FOLDER)
    write_tokenizer(DETAILED_FOLDER, "detailed")
