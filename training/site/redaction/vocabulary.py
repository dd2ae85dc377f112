"""Words that every text has, by language: they are no names, however a rule came upon them."""

from __future__ import annotations

from functools import cache

from training.site.deidentify.folding import folded

COMMON_IN = ("en", "de", "fr", "es", "it", "nl", "pt", "pl", "ru", "el", "fi")
"""Languages with spaces between words and capitals for names."""

_FEWEST_IN_A_BILLION = 10_000
"""Zipf frequency 4: the six thousand words or so that make up nine tenths of a text."""


@cache
def common_words() -> frozenset[str]:
    """Words that are frequent in one of the languages, folded."""
    least = _FEWEST_IN_A_BILLION / 1e9
    return frozenset(word for word, frequency in _frequencies().items() if frequency >= least)


@cache
def known_words() -> frozenset[str]:
    """Words that one of the languages has once in a million or oftener, folded."""
    return frozenset(_frequencies())


@cache
def _frequencies() -> dict[str, float]:
    """The highest frequency that a folded word has in one of the languages."""
    import wordfreq

    found: dict[str, float] = {}
    for language in COMMON_IN:
        for word, frequency in wordfreq.get_frequency_dict(language, "small").items():
            plain = folded(word)
            found[plain] = max(frequency, found.get(plain, 0))
    return found
