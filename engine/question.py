"""How a question is put to a model (the formats of M3D-VQA, which the paper trains on)."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from dicom_io.errors import EngineError


def question_prompt(question: str, choices: Sequence[str] = ()) -> str:
    """Return the text that asks: "{question}", or "{question} Choices: A. {first} B. {second}".

    Raises
    ------
    EngineError
        The question or a choice is empty, or there is one choice or more than the alphabet has.
    """
    if not all(text.strip() for text in (question, *choices)):
        raise EngineError("a question and its choices must not be empty")
    if not choices:
        return question
    if not 2 <= len(choices) <= len(ascii_uppercase):
        raise EngineError(f"a closed question has 2 to 26 choices, got {len(choices)}")
    listed = " ".join(map(choice_answer, ascii_uppercase, choices))
    return f"{question} Choices: {listed}"


def choice_answer(letter: str, text: str) -> str:
    """Return how a choice is written: "B. text"."""
    return f"{letter}. {text}"
