"""Text from outside, made harmless for whoever reads it: a terminal, a log, a database."""

from __future__ import annotations

from typing import Any
from unicodedata import category

# Control characters, halves of surrogate pairs, line separators, and what reorders or hides text
_HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")
_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"


def cleaned(text: str) -> str:
    r"""Return a text as one line of harmless characters.

    A line break becomes a space. Every other control character is shown as Python writes it, such
    as `\x1b`: no terminal obeys it, and PostgreSQL, which takes no NUL, stores it.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_harmless, text))


def cleaned_lines(text: str) -> str:
    """Clean each line of a text that is printed as lines."""
    return "\n".join(map(cleaned, text.split("\n")))


def cleaned_values(value: Any) -> Any:
    """Clean every text in what JSON can hold."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, dict):
        return {cleaned(str(key)): cleaned_values(one) for key, one in value.items()}
    return [cleaned_values(one) for one in value] if isinstance(value, list | tuple) else value


def _harmless(character: str) -> str:
    if character in _BREAKS:
        return " "
    if category(character) in _HARMFUL:
        return character.encode("unicode_escape").decode("ascii")
    return character
