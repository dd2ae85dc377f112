"""Letters as texts are kept and searched: composed, without accents."""

from __future__ import annotations

import unicodedata

_BARE = {c: unicodedata.normalize("NFD", c)[0] for c in "áàâãäåéèêëíìîïóòôõöúùûüçñ"}


def unaccented(text: str) -> str:
    """Small letters without the accents of western Europe, character for character."""
    return "".join(_BARE.get(letter, letter) for letter in map(_lower, text))


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
