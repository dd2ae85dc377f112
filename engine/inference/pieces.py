"""A text as what each of its tokens adds to it."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer


class Pieces:
    """Splits a text into what each token adds to it, token by token.

    A character whose bytes span several tokens belongs to the last of them; one that was cut off
    by the limit is left out. White space before the text is dropped.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._written = ""

    def add(self, token: int) -> str:
        """Return what `token` adds."""
        self._ids.append(token)
        text: str = self._tokenizer.decode(self._ids).lstrip()
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        piece, self._written = text[len(self._written) :], text
        return piece


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    """Split a text into what each of its tokens adds; see `Pieces`."""
    split = Pieces(tokenizer)
    return tuple(split.add(token) for token in ids)
