"""Text as it is compared: no case, no diacritics, one spelling of spaces, dashes and digits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Letters that Unicode does not take apart
_SPELT: dict[str, str] = {
    "ł": "l", "đ": "d", "ð": "d", "ø": "o", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i", "ħ": "h",
    **dict.fromkeys("’‘`´ʼ′", "'"),
    **dict.fromkeys("‐‑‒–—−", "-"),
}  # fmt: skip
_BARE = {c: unicodedata.normalize("NFD", c)[0] for c in "áàâãäåéèêëíìîïóòôõöúùûüçñ"}
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-[ \t]*\r?\n[ \t]*(?=[^\W\d_])")


@dataclass(frozen=True)
class Folded:
    """Folded text, and where each of its characters comes from in the original."""

    text: str
    origin: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a non-empty stretch of the folded text lies in the original."""
        return self.origin[start], self.origin[end - 1] + 1


def fold(text: str) -> Folded:
    """Fold a text; a word that a hyphen breaks over two lines becomes whole."""
    broken = {i for match in _BROKEN_WORD.finditer(text) for i in range(*match.span())}
    letters: list[str] = []
    origin: list[int] = []
    for i, character in enumerate(text):
        for letter in () if i in broken else _letters(character):
            letters.append(letter)
            origin.append(i)
    return Folded("".join(letters), tuple(origin))


def folded(text: str) -> str:
    """The folded text alone."""
    return fold(text).text


def unaccented(text: str) -> str:
    """Small letters without the accents of western Europe, character for character."""
    return "".join(_BARE.get(letter, letter) for letter in map(_lower, text))


def squashed(text: str) -> str:
    """Letters and digits only, for values that separators may tear apart."""
    return "".join(letter for letter in folded(text) if letter.isalnum())


def tidied(text: str) -> str:
    """The text as it is stored: composed letters, plain spaces and line ends, nothing invisible."""
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(
        " " if unicodedata.category(c) == "Zs" else c
        for c in composed
        if c in "\n\t" or unicodedata.category(c) not in ("Cf", "Cc", "Co", "Cs", "Cn")
    )


def _lower(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _letters(character: str) -> Iterator[str]:
    for letter in unicodedata.normalize("NFKD", character):
        kind = unicodedata.category(letter)
        if kind in ("Mn", "Cf"):
            continue
        if kind == "Nd":
            yield str(unicodedata.digit(letter))
        elif kind == "Zs":
            yield " "
        else:
            for small in letter.casefold():
                yield from _SPELT.get(small, small)
