"""The tokens of what a model is asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dicom_io.errors import CheckpointMismatch, EngineError, PromptTooLong
from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.decoding import GENERATION
from engine.inference.question import (
    Asked,
    closed_prompt,
    first_tokens,
    known_question,
    require_known_words,
)
from engine.protocol import Generation


@dataclass(frozen=True, eq=False)
class Prompts:
    """Spells a checkpoint's prompts.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its model stands on the device where it runs.
    special : frozenset of int
        Tokens that no question may hold.
    """

    checkpoint: Checkpoint
    special: frozenset[int]

    def ids(self, question: str, max_new_tokens: int) -> Tensor:
        """Image placeholders and a question as the tokenizer splits them together: (1, n).

        Raises
        ------
        EngineError
            The question holds a special token.
        PromptTooLong
            With the new tokens it exceeds the model's context.
        """
        model, known = self.checkpoint.model, self.checkpoint.prompt
        image, tokenizer = model.image_token_count, self.checkpoint.tokenizer
        if self.special & set(tokenizer.encode(question, add_special_tokens=False).ids):
            raise EngineError("a question must not contain the model's special tokens")
        before = known.before_image + known.image_token * image + known.after_image
        ids = tokenizer.encode(before + question + known.after_question).ids
        asked = len(ids) + max_new_tokens
        limit = model.llm_config.max_position_embeddings
        if asked > limit:
            raise PromptTooLong(
                f"{image} image tokens, {len(ids) - image} of the question and {max_new_tokens} "
                f"new ones are {asked}; the model's context holds {limit}"
            )
        return torch.tensor([ids], device=next(model.parameters()).device)

    def answered_by(self, report: Generation) -> Tensor:
        """Return the tokens of the prompt that a report answers, (1, n).

        Raises
        ------
        EngineError
            This model has not written it: on a GPU a token that it has not would end the process.
        PromptTooLong
            Both exceed the model's context.
        """
        known, ids = self.checkpoint.prompt, report.token_ids
        vocabulary = self.checkpoint.model.llm_config.vocab_size
        if not all(0 <= one < vocabulary for one in ids):
            raise EngineError("the report holds tokens that this model does not have")
        # What a limit cut off within a character is no part of the text, and parts are cut as well
        spelled = self.checkpoint.tokenizer.decode(list(ids)).lstrip()
        image_token = token_id(self.checkpoint, known.image_token)
        whole = spelled.rstrip("\N{REPLACEMENT CHARACTER}").startswith(report.text)
        if image_token in ids or not (whole or known.parts):
            raise EngineError("the report's tokens do not spell its text")
        return self.ids(known.reports[0], len(ids))

    def question_ids(self, asked: Asked, max_new_tokens: int) -> tuple[Tensor, list[int]]:
        """Return the tokens of a question, (1, n), and those that tell its choices apart."""
        known, tokenizer = self.checkpoint.prompt, self.checkpoint.tokenizer
        question = known_question(asked.question, known.questions)
        prompt, answers = closed_prompt(question, asked.choices, known.closed)
        prompt = known.before_question + prompt
        ids = self.ids(prompt, max_new_tokens)
        require_known_words(tokenizer, question, asked.choices)
        # an answer follows after a space, or at once behind a turn's end
        asked_for, space = prompt + known.after_question, "" if known.after_question else " "
        lead, first = first_tokens(tokenizer, asked_for, answers, space)
        return torch.cat([ids, ids.new_tensor([lead])], dim=1), first


def token_id(checkpoint: Checkpoint, token: str) -> int:
    """Look up a token that the prompt names.

    Raises
    ------
    CheckpointMismatch
        The tokenizer has none.
    """
    found = checkpoint.tokenizer.token_to_id(token)
    if found is None:
        raise CheckpointMismatch(f"the tokenizer has no token {token!r}, which the prompt names")
    return int(found)


def text_ends(checkpoint: Checkpoint) -> frozenset[int]:
    """Return the tokens that end a text.

    Raises
    ------
    CheckpointMismatch
        The model has no such token.
    """
    ends = checkpoint.decoding.ends | {token_id(checkpoint, checkpoint.prompt.eos_token)}
    size = checkpoint.model.llm_config.vocab_size
    if beyond := [end for end in ends if end >= size]:
        raise CheckpointMismatch(
            f"{GENERATION} ends a text with token {beyond[0]}; the model has {size}"
        )
    return ends
