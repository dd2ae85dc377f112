"""How a question is put to a model (the formats of M3D-VQA, which the paper trains on)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Literal
from unicodedata import category

from dicom_io.errors import EngineError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from dicom_io.model_input.preprocess import ModelInput
    from engine.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Asked:
    """One question of a batch; see `ReportEngine.ask`.

    Parameters
    ----------
    seed : int, optional
        In place of that of the sampling: questions with one seed share their luck.
    """

    model_input: ModelInput
    question: str
    choices: tuple[str, ...] = ()
    seed: int | None = None


def question_prompt(question: str, choices: Sequence[str] = ()) -> str:
    """Return the text that asks: "{question}", or "{question} Choices: A. {first} B. {second}".

    Raises
    ------
    EngineError
        The question or a choice is empty or no text, or there is one choice or more than the
        alphabet has.
    """
    for text in (question, *choices):
        _require_text(text)
    if not choices:
        return question
    if not 2 <= len(choices) <= len(ascii_uppercase):
        raise EngineError(f"a closed question has 2 to 26 choices, got {len(choices)}")
    listed = " ".join(map(choice_answer, ascii_uppercase, choices))
    return f"{question} Choices: {listed}"


def require_distinct(choices: Sequence[str]) -> None:
    """Refuse equal choices, of which no answer could say which is meant.

    M3D's questions have some ("NA" twice), so training and evaluation take them.

    Raises
    ------
    EngineError
        Two are equal but for case and white space.
    """
    if len({" ".join(choice.split()).casefold() for choice in choices}) < len(choices):
        raise EngineError("two choices are equal")


def _require_text(text: str) -> None:
    """The border of all that callers ask: a tokenizer takes valid Unicode, and a person writes it.

    Half of a surrogate pair (JSON can carry one) has no UTF-8; NUL and other control characters
    but white space are no part of a question.
    """
    if not text.strip():
        raise EngineError("a question and its choices must not be empty")
    if any(category(char) in ("Cs", "Cc") and not char.isspace() for char in text):
        raise EngineError(
            "a question and its choices must be text: one holds half a character "
            "or a control character"
        )


def choice_answer(letter: str, text: str) -> str:
    """Return how a choice is written: "B. text"."""
    return f"{letter}. {text}"


def closed_prompt(
    question: str, choices: Sequence[str], way: Literal["letters", "texts"]
) -> tuple[str, list[str]]:
    """Return the text that asks, and what may be answered: "B. {second}", or "{second}" itself.

    Parameters
    ----------
    question : str
    choices : sequence of str
    way : {"letters", "texts"}
        Whether the choices are listed by letter, or the question is asked openly.

    Raises
    ------
    EngineError
        See `question_prompt`.
    """
    listed = question_prompt(question, choices)
    if way == "texts":
        return question, list(choices)
    return listed, list(map(choice_answer, ascii_uppercase, choices))


def first_tokens(
    tokenizer: Tokenizer, prompt: str, answers: Sequence[str], space: str = " "
) -> tuple[list[int], list[int]]:
    """Tokens that come before every answer, and the one that each then begins with.

    Some tokenizers make the space before an answer a token of its own.

    Parameters
    ----------
    tokenizer : Tokenizer
    prompt : str
    answers : sequence of str
    space : str
        What stands between prompt and answer.

    Raises
    ------
    EngineError
        Two answers begin alike.
    """
    if not answers:
        return [], []
    begin = len(tokenizer.encode(prompt).ids)
    ids = [tokenizer.encode(f"{prompt}{space}{answer}").ids[begin:] for answer in answers]
    alone = tokenizer.encode(f"{prompt}{space}").ids[begin:]
    lead = alone if all(i[: len(alone)] == alone for i in ids) else []
    first = [i[len(lead)] for i in ids]
    if len(set(first)) != len(first):
        raise EngineError("two choices begin with the same token, and the model cannot weigh them")
    return lead, first


def known_question(question: str, known: Sequence[str]) -> str:
    """Return a question in the words in which the model knows it.

    Parameters
    ----------
    question : str
        Case, punctuation and white space do not matter.
    known : sequence of str
        The only questions that the model can be asked; where it is empty, any can.

    Raises
    ------
    EngineError
        It is not one of them. The message lists them, and does not repeat what was asked.
    """
    if not known:
        return question
    spelled = {_plain(one): one for one in known}
    if _plain(question) not in spelled:
        raise EngineError(
            "the model cannot answer this question; it was trained on a few questions only: "
            + " ".join(known)
        )
    return spelled[_plain(question)]


def require_known_words(tokenizer: Tokenizer, question: str, choices: Sequence[str]) -> None:
    """Refuse words that the tokenizer has no token for, which the model would not see.

    Parameters
    ----------
    tokenizer : Tokenizer
    question : str
    choices : sequence of str
        Empty for an open question.

    Raises
    ------
    EngineError
        The question or a choice holds one; the message says which.
    """
    unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    for i, text in enumerate([question, *choices]):
        if unknown is not None and unknown in tokenizer.encode(text).ids:
            where = f"choice {ascii_uppercase[i - 1]}" if i else "the question"
            raise EngineError(f"{where} holds a word that the model does not know")


def _plain(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.casefold()))


def special_tokens(checkpoint: Checkpoint) -> set[int]:
    """Return the tokens that make turns of a conversation: no question may begin one."""
    known, tokenizer = checkpoint.prompt, checkpoint.tokenizer
    turns = known.before_image + known.after_image + known.after_question
    special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return special & set(tokenizer.encode(turns, add_special_tokens=False).ids)
