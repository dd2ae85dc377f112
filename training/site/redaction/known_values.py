"""Find the values that the headers of a study hold in its own report, however they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import permutations

import regex

from training.site.deidentify.folding import fold, folded, squashed
from training.site.deidentify.known import KnownValues, name_groups
from training.site.deidentify.words import word_list
from training.site.redaction.near_names import near_names
from training.site.redaction.spans import Change, Kind

_LETTER = r"[\p{L}]"
_APART = r"[\s,;^_./-]{1,3}"
_SEPARATOR = r"[\s\-–./_:#,]{0,2}"
_SHORTEST_NUMBER = 4
# letters that a scanned page shows for digits
_READ_AS = {"0": "[0o]", "1": "[1il]", "2": "[2z]", "5": "[5s]", "8": "[8b]"}
_SHORTEST_INFLECTED = 6
_SHORTEST_WHOLE_NUMBER = 6
_SHORTEST_WHOLE_PLACE = 8
_SHORTEST_GLUED = 7
# image 3/24 is no date
_COUNTED = r"(?:images?|im|img|bild|bilder|serie|series|se|slice|from|of)"
_CJK = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ᄀ-ᇿ]")
_CYRILLIC = regex.compile(r"^[\p{Cyrillic}-]+$")

_NO_NAMES = word_list("no_names")
# Words of institutions and addresses that are words of every report
_NO_PLACES = word_list("no_places")


def known_values(text: str, known: KnownValues) -> Iterator[Change]:
    """Find names, numbers, dates and places of the headers."""
    compared = fold(text)
    for kind, rule, pattern in _patterns(known):
        for match in pattern.finditer(compared.text):
            if not match.group().strip():
                continue
            start, end = compared.span(*match.span())
            if rule == "two-letter name" and not text[start].isupper():
                continue
            yield Change(start, end, kind, rule)
    yield from near_names(text, known.names)


def residues(text: str, known: KnownValues, kept: Iterable[str] = ()) -> bool:
    """Whether a known value is still in a text when separators are ignored: the last sweep.

    A value all of whose words a person `kept` is not looked for.

    Parameters
    ----------
    text : str
        After all changes.
    known : KnownValues
        Values of the study's headers.
    kept : iterable of str
        What a person left in the text.
    """
    rest = squashed(text)
    allowed = {word for whole in kept for word in words_of(whole)}
    return any(
        squashed(value) in rest for value in whole_values(known) if not words_of(value) <= allowed
    )


def words_of(text: str) -> set[str]:
    """Words and numbers, folded."""
    return set(regex.findall(r"[\p{L}\p{M}\d]+", folded(text)))


def whole_values(known: KnownValues) -> Iterator[str]:
    """The values that are too long to stand in another context by chance."""
    for name in known.names:
        for words in (*name_groups(name), *_written(name)):
            for order in permutations(words, min(2, len(words))):
                if len(squashed("".join(order))) >= _SHORTEST_GLUED:
                    yield " ".join(order)
    for number in known.numbers:
        if len(squashed(number)) >= _SHORTEST_WHOLE_NUMBER and any(c.isdigit() for c in number):
            yield number
    for place in known.places:
        if len(squashed(place)) >= _SHORTEST_WHOLE_PLACE and any(_place(place)):
            yield place


@lru_cache(maxsize=64)
def _patterns(known: KnownValues) -> tuple[tuple[Kind, str, regex.Pattern[str]], ...]:
    found: list[tuple[Kind, str, str]] = []
    for name in known.names:
        found += [("NAME", rule, pattern) for rule, pattern in _name(name)]
    found += [("ID", "known number", p) for p in map(_number, known.numbers) if p]
    found += [("DATE", "known date", p) for p in map(_date, known.dates) if p]
    found += [("PLACE", "known place", p) for place in known.places for p in _place(place)]
    unique = dict.fromkeys(found)
    return tuple((kind, rule, regex.compile(pattern)) for kind, rule, pattern in unique)


def _written(name: str) -> Iterator[list[str]]:
    """The words of the groups of a name as they are written."""
    for group in name.split("="):
        words = [word for part in group.split("^")[:3] for word in part.replace(",", " ").split()]
        if words:
            yield words


def _name(name: str) -> Iterator[tuple[str, str]]:
    for words in name_groups(name):
        if any(_CJK.search(word) for word in words):
            yield from _east_asian_name(words)
            continue
        letters = [_spelt(word) for word in words]
        if 1 < len(words) <= 4:
            for order in permutations(letters, 2):
                yield "known name", _bounded(_APART.join(order))
                if sum(map(len, order)) >= _SHORTEST_GLUED:
                    yield "known name", "".join(order)
            first, last = words[1][0], letters[0]
            yield "known initials", _bounded(rf"{first}\.?\s?(?:{_LETTER}\.\s?)?{last}")
            yield "known initials", _bounded(rf"{last},?\s{first}\.?(?:\s?-?{_LETTER}\.)*")
            yield from _initials(words)
        for word in words:
            yield from _word_of_a_name(word)


def _initials(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """H.-P. M., M.H.P.: of some or all given names, before or behind the family name's."""
    given = [part[0] for word in words[1:] for part in regex.split("[-']", word) if part]
    for few in {len(given), 1}:
        for order in ([words[0][0], *given[:few]], [*given[:few], words[0][0]]):
            dotted = r"\.[\s-]{0,2}".join(map(regex.escape, order))
            yield "known initials", rf"(?<!{_LETTER}|\.){dotted}\.(?!\w)"


def _word_of_a_name(word: str) -> Iterator[tuple[str, str]]:
    bare = word.strip("'.-")
    if len(bare) < 2:
        return
    if len(bare) == 2:
        yield "two-letter name", _bounded(_spelt(bare))
        return
    yield "known name", _bounded(_spelt(bare) + _ending(bare))
    if len(bare) >= _SHORTEST_GLUED:
        yield "known name", _spelt(bare)
    parts = [part for part in regex.split(r"[-']", bare) if len(part) > 2]
    for part in parts:
        if len(part) >= 4:
            yield "known name", _bounded(r"[ .]".join(regex.escape(c) for c in part))
    if parts != [bare]:
        for part in parts:
            if part not in _NO_NAMES:
                yield "known name", _bounded(_spelt(part) + _ending(part))


def _east_asian_name(words: list[str]) -> Iterator[tuple[str, str]]:
    """No spaces, no case; a family name of one character counts before a form of address only."""
    for order in permutations(words, min(2, len(words))):
        if len("".join(order)) > 1:
            yield "known name", r"[\s・·,]?".join(regex.escape(word) for word in order)
    for word in words:
        if len(word) > 1:
            yield "known name", regex.escape(word)
        else:
            address = "|".join(
                map(
                    folded, ("先生", "さん", "様", "氏", "女士", "小姐", "씨", "님", "教授", "医生")
                )
            )
            yield "known name", regex.escape(word) + rf"(?=\s?(?:{address}))"


def _spelt(word: str) -> str:
    """A word in every spelling of its umlauts and hyphens: müller, mueller, muller."""
    simple = regex.sub(r"aa", "a", regex.sub(r"([aou])e", r"\1", word))
    pattern = ""
    for letter in simple:
        if letter in "-'. ":
            pattern += r"[\s'.-]{0,2}"
        elif letter in "aou":
            pattern += ("a{1,2}" if letter == "a" else letter) + "e?"
        else:
            pattern += regex.escape(letter)
    return str(regex.sub(r"^(ma?c)(?=\w)", r"\1\\s?", pattern))


def _ending(word: str) -> str:
    """Cases: Müllers, Becker's, Kowalskiego, Иванова."""
    if _CYRILLIC.match(word):
        return r"\p{L}{0,3}" if len(word) > 3 else ""
    return r"\p{L}{0,3}" if len(word) >= _SHORTEST_INFLECTED else r"(?:'?s|')?"


def _bounded(pattern: str) -> str:
    return rf"(?<!{_LETTER})(?:{pattern})(?!{_LETTER})"


def _number(number: str) -> str | None:
    characters = squashed(number)
    if len(characters) < _SHORTEST_NUMBER or not any(c.isdigit() for c in characters):
        return _bounded(regex.escape(folded(number))) if len(characters) >= 5 else None
    stem = characters.lstrip("0")
    if len(stem) < 3:
        return None
    body = _SEPARATOR.join(_READ_AS.get(c, regex.escape(c)) for c in stem)
    before = r"(?<![\p{L}\d])" if not stem[0].isdigit() else r"(?<!\d|\d[.,])"
    after = r"(?!\d)" if stem[-1].isdigit() else r"(?![\p{L}\d])"
    return rf"{before}(?:0+{_SEPARATOR})?{body}{after}"


def _date(date: str) -> str | None:
    """Digits of a known date in any order, and its year alone; written dates have general rules."""
    if len(date) < 4:
        return None
    year, month, day = date[:4], date[4:6], date[6:8]
    unit = r"(?!\s?(?:mm|cm|ml|cc|hu|mg|kv|m?gy|ms|°|%|[.,]\d))"
    alone = rf"(?<![\d.,/-]){year}(?!\d|[.,/-]\d){unit}"
    if not (month and day):
        return alone
    m, d = rf"0?{int(month)}" if month != "00" else "00", rf"0?{int(day)}" if day != "00" else "00"
    s = r"[\s./_-]{1,2}"
    years = rf"(?:{year}|'?{year[2:]})"
    forms = [rf"{d}{s}{m}{s}{years}", rf"{m}{s}{d}{s}{years}", rf"{years}{s}{m}{s}{d}"]
    forms += [f"{year}{month}{day}", f"{day}{month}{year}", f"{month}{day}{year}"]
    forms += [f"{year[2:]}{month}{day}", f"{day}{month}{year[2:]}"]
    short = rf"(?:{day}\.{month}|{month}/{day}|{day}/{month})(?![\d/x×]){unit}"
    short = rf"(?<![\d.,/x×-])(?<!{_COUNTED}\s?){short}"
    return rf"(?<!\d)(?:{'|'.join(forms)})(?!\d)|{alone}|{short}"


def _place(place: str) -> Iterator[str]:
    words = [word for word in regex.split(r"[\s,;^/()_]+", folded(place)) if word.strip(".-'")]
    if not words:
        return
    apart = r"[\s,;./()_-]{1,3}"
    if len("".join(words)) >= 4 and not all(word in _NO_PLACES for word in words):
        yield _bounded(apart.join(_spelt(word) for word in words))
    for word in _telling(words):
        yield _bounded(_spelt(word) + r"(?:'?s|er)?")


def _telling(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        bare = word.strip(".-'")
        if len(bare) >= 4 and bare not in _NO_PLACES and bare not in _NO_NAMES:
            yield bare
