"""What is asked of an image and answered, as tokens (paper, section 3.4.2; formats of M3D-VQA).

One sequence: the placeholders of the image tokens, the question, one space, the answer, the token
that ends a text. Only the answer and its end are learnt. There is no chat template and no token in
front, because the engine asks in the same way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from dicom_io.errors import CheckpointMismatch, UnusableData
from engine.checkpoints.description import Prompt
from engine.inference.question import choice_answer, question_prompt
from training.data.questions import LETTERS, Question
from training.data.splits import Part
from training.data.store import SplitName, Store
from training.recipe.stages import Kind

PLACEHOLDER = re.compile(r"\[[A-Z]{2,}(?:[ _-][A-Z]+)*\]")
"""What stands in a text in place of a name, a date or a signature (`training.site.redaction`)."""

IGNORED = -100
"""Label of what is not learnt, as torch's cross-entropy has it."""


@dataclass(frozen=True)
class Turn:
    """One question on an image, and its answer.

    Parameters
    ----------
    image : str
        Its key in the store.
    question : str, optional
        None asks for the report, in words that are drawn anew in each epoch.
    answer : str
    """

    image: str
    question: str | None
    answer: str


def turns(store: Store, split: SplitName, part: Part, kinds: Sequence[Kind]) -> list[Turn]:
    """List what may be asked about the images of a part.

    A question with four choices is asked twice, openly and with its choices, as the authors do. One
    that lacks a choice, or the letter of its answer, is asked openly alone.

    Parameters
    ----------
    store : Store
    split, part : str
        Of the store.
    kinds : sequence of str
        What is asked; one that is named twice is there twice.

    Raises
    ------
    UnusableData
        There is nothing of one of the kinds: a run must not quietly learn less than its recipe
        says.
    """
    asked, keys = store.questions(split, part), store.split(split)[part]
    found = {
        "reports": [Turn(key, None, _on_one_line(store.report(key))) for key in keys],
        "open": [Turn(q.image, q.question, q.answer) for q in asked if not q.yes_no],
        "closed": [_closed(q) for q in asked if not q.yes_no and _has_choices(q)],
        "yes_no": [Turn(q.image, q.question, q.answer) for q in asked if q.yes_no],
    }
    if missing := [kind for kind in kinds if not found[kind]]:
        raise UnusableData(
            f"{store.folder} has nothing of {', '.join(missing)} in {part} of split {split!r}; "
            f"it has {', '.join(f'{len(some)} {kind}' for kind, some in found.items())}"
        )
    return [turn for kind in kinds for turn in found[kind]]


def _on_one_line(report: str) -> str:
    """As M3D's reports are learnt; a small vocabulary has no token for the end of a line."""
    return " ".join(report.split())


def _has_choices(q: Question) -> bool:
    return bool(q.choices) and all(q.choices) and bool(q.answer_choice)


def _closed(q: Question) -> Turn:
    right = q.choices[LETTERS.index(q.answer_choice)]
    asked = question_prompt(q.question, q.choices)
    return Turn(q.image, asked, choice_answer(q.answer_choice, right))


@dataclass(frozen=True, eq=False)
class Example:
    """A turn as tokens.

    Parameters
    ----------
    ids, labels : Tensor of int64, shape (n,)
        `labels[i]` is `ids[i]` where it is learnt, else `IGNORED`.
    cut : bool
        Whether the answer was too long; its end is not learnt then.
    """

    ids: Tensor
    labels: Tensor
    cut: bool


@dataclass(frozen=True, eq=False)
class Script:
    """Writes turns as tokens.

    Parameters
    ----------
    tokenizer : Tokenizer
    prompt : Prompt
        Of the checkpoint: its placeholder of an image token, and the token that ends a text.
    image_tokens : int
        How many placeholders a sequence begins with.
    max_tokens : int
        Of a sequence, the image tokens included. What is longer is cut, as the authors' code does.
    report_questions : tuple of str
        What asks for a report; each time one is drawn.

    Raises
    ------
    CheckpointMismatch
        The tokenizer lacks a token that the prompt names.
    """

    tokenizer: Tokenizer
    prompt: Prompt
    image_tokens: int
    max_tokens: int
    report_questions: tuple[str, ...]

    def __post_init__(self) -> None:
        for token in (self.prompt.image_token, self.prompt.eos_token):
            if self.tokenizer.token_to_id(token) is None:
                raise CheckpointMismatch(f"the tokenizer lacks {token!r}, which the prompt names")

    def example(self, turn: Turn, rng: np.random.Generator) -> Example:
        """Write a turn; `rng` draws the words that ask for a report.

        Raises
        ------
        UnusableData
            The question leaves no room for an answer, or the tokenizer makes other tokens of it
            where an answer follows: the engine would ask in other tokens than were learnt.
        """
        if turn.question is None:
            question = self.report_questions[rng.integers(len(self.report_questions))]
        else:
            question = self.prompt.before_question + turn.question
        prompt = self.prompt.image_token * self.image_tokens + question
        asked = self.tokenizer.encode(prompt).ids
        whole = self.tokenizer.encode(f"{prompt} {turn.answer}")
        ids = [*whole.ids, self.eos_id]
        if ids[: len(asked)] != asked or len(asked) >= self.max_tokens:
            why = "is too long" if len(asked) >= self.max_tokens else "ends within a token"
            raise UnusableData(f"a question on {turn.image} {why}: {question!r}")
        kept = torch.tensor(ids[: self.max_tokens])
        labels = kept.clone()
        labels[: len(asked)] = IGNORED
        labels[_placeholders(whole, len(prompt) + 1, turn.answer)[: len(labels)]] = IGNORED
        return Example(kept, labels, cut=len(ids) > self.max_tokens)

    @property
    def eos_id(self) -> int:
        found = self.tokenizer.token_to_id(self.prompt.eos_token)
        assert found is not None
        return found

    def unknown(self, turns: Iterable[Turn]) -> tuple[int, Counter[str]]:
        """Count the tokens of answers, and the words that the tokenizer does not know.

        Returns
        -------
        tokens : int
            Of all answers, placeholders left out.
        words : Counter of str
            Each unknown word with how often it stands there.
        """
        unknown = getattr(self.tokenizer.model, "unk_token", None)
        tokens, words = 0, Counter[str]()
        for turn in turns:
            answer = " ".join(PLACEHOLDER.sub(" ", turn.answer).split())
            read = self.tokenizer.encode(answer, add_special_tokens=False)
            tokens += len(read.tokens)
            words.update(
                answer[start:end].strip()
                for token, (start, end) in zip(read.tokens, read.offsets, strict=True)
                if token == unknown
            )
        return tokens, words

    def cut(self, turns: Iterable[Turn]) -> int:
        """Count the turns whose answers are cut, whatever words ask for them.

        A token takes at least a byte, so that most turns need not be written.
        """
        room = self.max_tokens - self.image_tokens - 2  # the space and the end
        room -= len(self.prompt.before_question.encode())
        shortest = min(self.report_questions, key=len)
        script = replace(self, report_questions=(shortest,))
        return sum(
            script.example(turn, np.random.default_rng(0)).cut
            for turn in turns
            if len(f"{turn.question or shortest}{turn.answer}".encode()) > room
        )


def _placeholders(read: Encoding, start: int, answer: str) -> Tensor:
    """Which tokens stand for what de-identification took out: shape (n + 1,), the end included.

    A model that learnt them would write "[NAME]" into a report.
    """
    spans = [(start + m.start(), start + m.end()) for m in PLACEHOLDER.finditer(answer)]
    inside = [any(a < end and begin < b for begin, end in spans) for a, b in read.offsets]
    return torch.tensor([*inside, False])


def padded(rows: Sequence[Tensor], value: int) -> Tensor:
    """Stack sequences to (B, longest), filled up at the right."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
