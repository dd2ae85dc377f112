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
    return _words(_FEWEST_IN_A_BILLION / 1e9)


@cache
def known_words() -> frozenset[str]:
    """Words that one of the languages has once in a million or oftener, folded."""
    return _words(0)


def _words(least: float) -> frozenset[str]:
    import wordfreq

    found: set[str] = set()
    for language in COMMON_IN:
        words = wordfreq.get_frequency_dict(language, "small")
        found.update(folded(word) for word, frequency in words.items() if frequency >= least)
    return frozenset(found)
