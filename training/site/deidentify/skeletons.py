"""Skeletons of words: Latin letters of any script, without what spelling leaves open."""

from __future__ import annotations

from functools import lru_cache

import regex

from training.site.deidentify.folding import folded

# what transliterations and spellings leave open, in this order
_OPEN: tuple[tuple[str, str], ...] = (
    ("shch", "s"), ("tsch", "c"), ("sch", "s"), ("tch", "c"), ("cz", "c"), ("ch", "c"), ("sh", "s"),
    ("sz", "s"), ("kh", "h"), ("zh", "z"), ("rz", "z"), ("ts", "c"), ("tz", "c"), ("ph", "f"),
    ("th", "t"), ("ck", "k"), ("qu", "k"), ("x", "ks"), ("mp", "b"), ("nt", "d"), ("oy", "u"),
    ("ou", "u"), ("ue", "u"), ("oe", "o"), ("ae", "a"), ("y", "i"), ("j", "i"), ("w", "v"),
    ("'", ""), ("-", ""),
)  # fmt: skip

ENDINGS = frozenset(
    folded(ending)
    for ending in (
    "s es en n ns e er ern a y i u o m om em im am ym ow owi owie ego iego emu iemu ej iej ie ia ii "
    "ami ach ova ove ovi ovy ou ich ych ą ę ów ум у а ы и е ой ою ем ом ого его ому ему ой ей ых их "
    "ю я ию ии ая ую ым им ами ях ου ο α ε η ης ας ος ων ους ι ιδη ta tta lla lle lta ssa sta ksi na "
    "sen sella selle selta sessa sesta seen ssen in"
    ).split()
)
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
