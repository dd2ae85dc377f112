"""Skeletons of words: Latin letters of any script, without what spelling leaves open."""

from __future__ import annotations

from functools import lru_cache

import regex

from training.site.deidentify.folding import folded
from training.site.deidentify.words import word_list

# what transliterations and spellings leave open, in this order
_OPEN: tuple[tuple[str, str], ...] = (
    ("shch", "s"), ("tsch", "c"), ("sch", "s"), ("tch", "c"), ("cz", "c"), ("ch", "c"), ("sh", "s"),
    ("sz", "s"), ("kh", "h"), ("zh", "z"), ("rz", "z"), ("ts", "c"), ("tz", "c"), ("ph", "f"),
    ("th", "t"), ("ck", "k"), ("qu", "k"), ("x", "ks"), ("mp", "b"), ("nt", "d"), ("oy", "u"),
    ("ou", "u"), ("ue", "u"), ("oe", "o"), ("ae", "a"), ("y", "i"), ("j", "i"), ("w", "v"),
    ("'", ""), ("-", ""),
)  # fmt: skip

ENDINGS = frozenset(map(folded, word_list("case_endings")))
"""Of cases and genitives: English, German, Slavic, Greek and Finnish, folded."""


@lru_cache(maxsize=1 << 15)
def skeleton(word: str) -> str:
    """Latin letters of a folded word, those that sound alike made equal, doubled ones once."""
    latin = word if word.isascii() else _latin(word)
    for spelt, plain in _OPEN:
        latin = latin.replace(spelt, plain)
    return str(regex.sub(r"(.)\1+", r"\1", latin))


def _latin(word: str) -> str:
    from anyascii import anyascii

    return str(anyascii(word)).lower().replace(" ", "")
