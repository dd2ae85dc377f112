"""The vocabulary of the recipe `phantom`, in `training/recipe/words`.

`python -m training.wording.vocabulary` writes it.

Every word of the reports, facts and questions of phantoms, and nothing else: what the embedded
model has no word for, it cannot say and refuses to be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from dicom_io.phantoms.truth import FINDINGS, draw_truth
from engine.checkpoints.layouts.native import write_end_of_text
from engine.checkpoints.tokenizer_files import TOKENIZER
from engine.inference.question import choice_answer, question_prompt
from training.data.phantom_questions import questions, yes_no_questions
from training.data.phantom_text import PROMPT, facts_text, report_text, statements
from training.data.questions import ABSENT, LETTERS
from training.wording.tokenizer import EOS, build_tokenizer

FOLDER = Path(__file__).parents[1] / "recipe" / "words"
_STUDIES = 400
"""Enough for every wording of everything to be drawn."""


def phantom_tokenizer() -> Tokenizer:
    """Build it."""
    return build_tokenizer(_texts())


def write_tokenizer(folder: Path) -> None:
    """Write it as a folder that a recipe's `pretrained` can name."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = phantom_tokenizer()
    tokenizer.save(str(folder / TOKENIZER))
    write_end_of_text(folder, EOS, tokenizer.token_to_id(EOS))


def _texts() -> Iterator[str]:
    rng = np.random.default_rng(0)
    yield PROMPT
    for statement in statements():
        yield from statement.wordings
    for _ in range(_STUDIES):
        truth = draw_truth(rng)
        yield report_text(truth, rng)
        yield facts_text(truth)
        for asked in (questions, yes_no_questions):
            for q in asked(truth, "", rng, FINDINGS):
                choices = [choice for choice in q.choices if choice != ABSENT]
                yield question_prompt(q.question, choices)
                yield from map(choice_answer, LETTERS, choices)


if __name__ == "__main__":
    write_tokenizer(FOLDER)
