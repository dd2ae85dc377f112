"""Find known names in near forms: misspelt, split, joined, inflected, shortened, in another script.

Names and texts are compared by skeletons, which are Latin letters without what spelling leaves
open. A word that every text has is never taken for a name that is spelt otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations
from typing import Any

import regex

from training.site.deidentify.folding import fold, folded
from training.site.deidentify.known import name_groups
from training.site.deidentify.skeletons import ENDINGS, skeleton
from training.site.deidentify.words import word_groups, word_list
from training.site.redaction.gazetteer import family_names, given_names, is_german, is_medical_word
from training.site.redaction.spans import Change
from training.site.redaction.vocabulary import common_words, known_words

_WORD = regex.compile(r"[\p{L}\p{M}\d]+(?:['’][\p{L}\p{M}]+)*")
_BETWEEN = regex.compile(r"[ \t\n'’.-]{1,3}")
_MOST_PARTS = 4
_SHORTEST = 3
_SHORTEST_JOINED = 6
_SHORTEST_MISSPELT = 5
"""Of a name of four letters, one other letter makes another word too often."""
_SHORTEST_STEM = 3
_SHORTEST_OF_WORDS = 8
_LONGEST_CUT = 3
# what stands before a word that does not begin a sentence
_INSIDE = regex.compile(r"[\p{L}\p{N},)\]][ \t]+\Z")
_ARABIC = regex.compile(r"\p{Arabic}")
_SPACELESS = regex.compile(r"[\p{Han}\p{Hangul}\p{Katakana}]")
# digits that a scanned page shows for letters
_READ_AS = str.maketrans("0134567889", "oleasgtbbg")


@dataclass(frozen=True)
class _Names:
    """What the known names look like.

    Parameters
    ----------
    whole : frozenset of str
        Skeletons of words, and of words that are joined.
    words : tuple of str
        Folded words that may be misspelt or inflected.
    short : frozenset of str
        Skeletons of other forms of given names.
    """

    whole: frozenset[str]
    words: tuple[str, ...]
    short: frozenset[str]


def near_names(text: str, names: Sequence[str]) -> Iterator[Change]:
    """Find what may be one of the names, in words of the text and in neighbours together.

    Parameters
    ----------
    text : str
        A report.
    names : sequence of str
        As DICOM writes person names.
    """
    known = _names(tuple(names))
    compared = fold(text)
    words = list(_WORD.finditer(compared.text))
    cased = any(letter.isupper() for letter in text)
    nouns_have_capitals = is_german(text)
    for match in words:
        start, end = compared.span(*match.span())
        capital = not text[start].islower() or not cased
        inside = bool(_INSIDE.search(text, 0, start)) and not nouns_have_capitals
        if rule := _rule(match.group(), known, capital=capital, named=capital and cased and inside):
            yield Change(start, end, "NAME", rule)
    for start, end in _joined(words, compared.text, known):
        yield Change(*compared.span(start, end), "NAME", "split name")


def listed_names(text: str, names: Sequence[str]) -> Iterator[Change]:
    """Find names of a site's list, written as they are listed, in words with a capital."""
    known = _names(tuple(names))
    compared = fold(text)
    for match in _WORD.finditer(compared.text):
        start, end = compared.span(*match.span())
        word = match.group()
        if word in known.words and not text[start].islower() and not _is_plain_word(word):
            yield Change(start, end, "NAME", "site list")


def _rule(word: str, known: _Names, *, capital: bool, named: bool) -> str:
    """What a word is of a known name; "" where it is nothing.

    A capital says more than nothing, and inside a sentence that it is a name.
    """
    plain = word.translate(_READ_AS) if any(map(str.isalpha, word)) else word
    if len(plain) < _SHORTEST or plain.isdigit() or _SPACELESS.search(plain):
        return ""
    bone = skeleton(plain)
    if capital and plain in given_names() and bone in known.short:
        return "short form of a name"
    if is_medical_word(plain) or (plain in common_words() and not named):
        return ""
    # a name with a capital may be a rarer word: Katarzyny, Päivin
    if capital and _is_inflected(plain, known):
        return "inflected name"
    if _is_plain_word(plain) and not named:
        return ""
    if bone in known.whole or _without_article(bone) in known.whole:
        return "name in another spelling"
    if capital and bone in known.short:
        return "short form of a name"
    return "misspelt name" if capital and _is_misspelt(plain, known.words) else ""


@lru_cache(maxsize=1 << 15)
def _is_plain_word(word: str) -> bool:
    """Whether it is a word of every text, or of reports, that is no name besides."""
    return is_medical_word(word) or (
        word in known_words() and word not in given_names() and word not in family_names()
    )


def _joined(
    words: Sequence[regex.Match[str]], text: str, known: _Names
) -> Iterator[tuple[int, int]]:
    """Neighbours that are a known name together."""
    for first in range(len(words)):
        joined = words[first].group()
        for last in range(first + 1, min(first + _MOST_PARTS, len(words))):
            gap = text[words[last - 1].end() : words[last].start()]
            if not _BETWEEN.fullmatch(gap):
                break
            joined += words[last].group()
            parts = [words[i].group() for i in range(first, last + 1)]
            if len(joined) >= _SHORTEST_JOINED and _is_split(joined, parts, known):
                yield words[first].start(), words[last].end()


def _is_split(joined: str, parts: Sequence[str], known: _Names) -> bool:
    plain = joined.translate(_READ_AS)
    # two short words that are each in every text are what they seem
    telling = len(joined) >= _SHORTEST_OF_WORDS or not all(map(_is_plain_word, parts))
    return telling and (
        skeleton(plain) in known.whole
        or any(plain.removesuffix(ending) in known.words for ending in ENDINGS)
    )


def _is_misspelt(word: str, names: Sequence[str]) -> bool:
    from rapidfuzz.distance import OSA

    return len(word) >= _SHORTEST_MISSPELT and any(
        len(name) >= _SHORTEST_MISSPELT and OSA.distance(word, name, score_cutoff=1) <= 1
        for name in names
    )


def _is_inflected(word: str, known: _Names) -> bool:
    """Whether a word is the stem of a name with an ending: Kowalskiej, Niemisen, Παπαδοπούλου."""
    if any(_has_stem(word, name) for name in known.words if word[:2] == name[:2]):
        return True
    bone = skeleton(word)
    bones = known.whole if not word.isascii() else ()
    if any(_has_stem(bone, name) for name in (*bones, *known.short) if bone[:2] == name[:2]):
        return True
    return any(
        word.endswith(ending) and _is_misspelt(word[: -len(ending)], known.words)
        for ending in ENDINGS
        if len(ending) > 1 and len(word) - len(ending) >= _SHORTEST_MISSPELT
    )


def _has_stem(word: str, name: str) -> bool:
    return any(
        word.startswith(stem) and word[len(stem) :] in ENDINGS
        for stem in _stems(name)
        if len(word) > len(stem)
    )


def _without_article(bone: str) -> str:
    """An Arabic name without what is written in one with it: wa-l-Khatib, lil-Khatib."""
    return str(regex.sub(r"^[vfbk]?(?:l|al)?(?=[^aeiou]{3})", "", bone))


@lru_cache(maxsize=1 << 12)
def _stems(name: str) -> tuple[str, ...]:
    """A name with less and less of its end, and without a vowel that comes and goes (Marek)."""
    cut = [name[: len(name) - k] for k in range(_LONGEST_CUT + 1)]
    fleeting = regex.sub(r"[eoоеё](?=[^aeiouаеиоу]$)", "", name)
    return tuple(stem for stem in (*cut, fleeting) if len(stem) >= _SHORTEST_STEM)


@lru_cache(maxsize=64)
def _names(names: tuple[str, ...]) -> _Names:
    whole: set[str] = set()
    words: set[str] = set()
    for group in (group for name in names for group in name_groups(name)):
        parts = [word for word in group if len(word) >= _SHORTEST]
        words.update(regex.sub("['-]", "", part) for part in parts)
        words.update(p for part in parts for p in regex.split("['-]", part) if len(p) > _SHORTEST)
        whole.update(skeleton("".join(order)) for order in permutations(group, min(2, len(group))))
        whole.add(skeleton("".join(group)))
    plain = {word for word in words if word not in word_list("no_names")}
    whole = {one for one in whole | set(map(skeleton, plain)) if len(one) >= _SHORTEST}
    whole |= {
        _without_article(one)
        for one in whole
        if any("\u0600" <= c <= "\u06ff" for c in "".join(names))
    }
    short = {skeleton(other) for word in plain for other in _short_forms(word)}
    return _Names(frozenset(whole), tuple(sorted(plain)), frozenset(short))


@cache
def _short_forms(name: str) -> frozenset[str]:
    """Nicknames of a given name and the names that it is one of."""
    english = _nicknames()
    found = {*english.nicknames_of(name), *english.canonicals_of(name)}
    bone = skeleton(name)
    for group in word_groups("nicknames"):
        if bone in map(skeleton, map(folded, group)):
            found |= group
    return frozenset(folded(one) for one in found) - {name}


@cache
def _nicknames() -> Any:
    from nicknames import NickNamer

    return NickNamer()
