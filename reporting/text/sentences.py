"""Free text to sentences, as spans of the text so that token scores can be laid over them."""

import re
from collections.abc import Iterator

Span = tuple[int, int]

_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+", "dr prof mr mrs ms st fig figs no nos vs approx ca cf resp incl excl e.g i.e"
    )
)
_BREAK = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|[。！？]+|\n+")
_BULLET = re.compile(r"(?:[-*•‣–]|\(?\d{1,2}[.)])\s+")


def sentence_spans(text: str) -> list[Span]:
    """Split text into sentences.

    A full stop ends a sentence when white space follows it and neither an abbreviation ("Dr.")
    nor a number that goes on ("1. 5") stands around it; a line break always ends one. Bullets
    and list numbers are left out of the spans.

    Returns
    -------
    list of (start, end)
        Spans of `text` in order, without surrounding white space; none without a letter or digit.
    """
    spans: list[Span] = []
    start = 0
    for end in _ends(text):
        spans.extend(_trimmed(text, start, end))
        start = end
    return spans


def before_the_stop(sentence: str, words: str) -> str:
    """Put words at the end of a sentence: before its full stop, if it has one."""
    body, stop = (sentence[:-1], ".") if sentence.endswith(".") else (sentence, "")
    return f"{body} {words}{stop}"


def is_finished(sentence: str) -> bool:
    """Tell whether a sentence that stands last in a cut text is known to be whole.

    "measures 1." may be the beginning of "1.5 cm", and "seen by Dr." goes on: both are unfinished.
    """
    stripped = sentence.rstrip("\"')]")
    if not stripped.endswith((".", "!", "?", "。", "！", "？")):
        return False
    word = stripped.rstrip(".!?").rsplit(maxsplit=1)[-1:]
    return not (stripped.endswith(".") and word and _goes_on(word[0]))


def _goes_on(word: str) -> bool:
    return word[-1:].isdigit() or word.lstrip("(").lower() in _ABBREVIATIONS


def _ends(text: str) -> Iterator[int]:
    start = 0
    for match in _BREAK.finditer(text):
        if match.group().startswith(".") and _inside(text, start, match):
            continue
        start = match.end()
        yield start
    yield len(text)


def _inside(text: str, start: int, stop: re.Match[str]) -> bool:
    before = text[start : stop.start()].split()
    after = text[stop.end() :].lstrip(" \t")[:1]
    if not before or stop.group() != ".":
        return False
    word = before[-1]
    if word.isdigit():
        # "1. No ascites" opens a list entry; "1. 5 cm" is one number with a stray space
        return len(before) == 1 or after.isdigit()
    lowered = word.lstrip("(").lower()
    if lowered in {"no", "nos"}:
        return after.isdigit()
    return lowered in _ABBREVIATIONS


def _trimmed(text: str, start: int, end: int) -> list[Span]:
    while start < end and text[start].isspace():
        start += 1
    bullet = _BULLET.match(text, start, end)
    if bullet:
        start = bullet.end()
    while end > start and text[end - 1].isspace():
        end -= 1
    return [(start, end)] if any(c.isalnum() for c in text[start:end]) else []
