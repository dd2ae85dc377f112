"""Text as it is compared: no case, no diacritics, one spelling of spaces, dashes and digits.

One script of Japanese (katakana) and of Chinese (simplified), and a space where a script that is
written without spaces meets another one: there a word ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import regex

# Letters that Unicode does not take apart
_SPELT: dict[str, str] = {
    "ł": "l", "đ": "d", "ð": "d", "ø": "o", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i", "ħ": "h",
    "ς": "σ", "ى": "ي", "ـ": "",
    **dict.fromkeys("’‘`´ʼ′΄᾽", "'"),
    **dict.fromkeys("‐‑‒–—−", "-"),
}  # fmt: skip
_HIRAGANA = range(0x3041, 0x3097)
_TO_KATAKANA = 0x60
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Arabic}\p{Thai}ー]")
_SPACED = regex.compile(r"[\p{Latin}\p{Cyrillic}\p{Greek}\p{Nd}]")
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-[ \t]*\r?\n[ \t]*(?=[^\W\d_])")


@dataclass(frozen=True)
class Folded:
    """Folded text, where each of its characters comes from in the original, and its length."""

    text: str
    origin: tuple[int, ...]
    length: int

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch of the folded text that is not all space lies in the original."""
        inner = self.text[start:end]
        first = start + len(inner) - len(inner.lstrip())
        last = end - len(inner) + len(inner.rstrip())
        # what folds to nothing belongs to the letter before it
        following = self.origin[last] if last < len(self.origin) else self.length
        return self.origin[first], following


def fold(text: str) -> Folded:
    """Fold a text; a word that a hyphen breaks over two lines becomes whole."""
    broken = {i for match in _BROKEN_WORD.finditer(text) for i in range(*match.span())}
    return _spaced(text, lambda i: () if i in broken else _letters(text[i]))


def spaced(text: str) -> Folded:
    """The text as it is, but for the spaces between scripts."""
    return _spaced(text, lambda i: text[i])


@lru_cache(maxsize=1 << 16)
def folded(text: str) -> str:
    """The folded text alone."""
    if text.isascii() and "\n" not in text:
        return text.lower()  # what the long way comes to, for tens of thousands of names
    return fold(text).text


def squashed(text: str) -> str:
    """Letters and digits only, for values that separators may tear apart."""
    return "".join(letter for letter in folded(text) if letter.isalnum())


def _spaced(text: str, letters_at: Callable[[int], Iterable[str]]) -> Folded:
    letters: list[str] = []
    origin: list[int] = []
    before = ""
    for i in range(len(text)):
        kind = _writing(text[i])
        if kind and before and kind != before:
            letters.append(" ")
            origin.append(i)
        before = kind
        for letter in letters_at(i):
            letters.append(letter)
            origin.append(i)
    return Folded("".join(letters), tuple(origin), len(text))


@cache
def _writing(character: str) -> str:
    """Whether a letter or digit is of a script with spaces; "" for everything else."""
    if unicodedata.category(character) == "Nd" or _SPACED.match(character):
        return "spaced"
    return "unspaced" if _UNSPACED.match(character) else ""


@cache
def _letters(character: str) -> tuple[str, ...]:
    return tuple(_compared(_simplified(character)))


def _simplified(character: str) -> str:
    """Of Chinese and Japanese characters, the one of the People's Republic."""
    if not regex.match(r"\p{Han}", character):
        return character
    return str(_traditional().convert(_japanese().convert(character)))


@cache
def _traditional() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


@cache
def _japanese() -> Any:
    import opencc

    return opencc.OpenCC("jp2t")


def _compared(character: str) -> Iterator[str]:
    for letter in unicodedata.normalize("NFKD", character):
        kind = unicodedata.category(letter)
        if kind in ("Mn", "Cf"):
            continue
        if kind == "Nd":
            yield str(unicodedata.digit(letter))
        elif kind == "Zs":
            yield " "
        elif ord(letter) in _HIRAGANA:
            yield chr(ord(letter) + _TO_KATAKANA)
        else:
            for small in letter.casefold():
                yield from _SPELT.get(small, small)
