"""Findings that a report names: which, whether asserted, on which side, how large.

Rules only, documented in docs/finding-score.md; the vocabulary is `terms.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from training.evaluation.findings.assertion import Span, Status, says_gone, status_of
from training.evaluation.findings.vocabulary import Term, Vocabulary, default_vocabulary
from training.evaluation.findings.wording import plain_sentences

SIDES = ("left", "right")


@dataclass(frozen=True)
class Mention:
    """One finding that a text names.

    Parameters
    ----------
    finding : str
        Its name in the vocabulary.
    status : {"present", "uncertain", "absent"}
    side : {"left", "right"}, optional
        The patient's; both sides are two mentions. None where none is stated, or none counts.
    size_mm : float, optional
        The largest diameter that is stated, of findings whose size counts.
    """

    finding: str
    status: Status
    side: str | None = None
    size_mm: float | None = None


@dataclass(frozen=True)
class Named:
    """A term where it stands in a sentence."""

    term: Term
    span: Span


_SIDE = re.compile(
    r"\b(?:(?P<both>bilateral(?:ly)?|both|b/l|biapical|bibasal|bibasilar)"
    r"|(?P<left>left|lt|lul|lll|lingular?)|(?P<right>right|rt|rul|rml|rll))\b"
)
_SPLIT = re.compile(
    r",|\band\b|\bwith(?:out)?\b|\bbut\b|\bwhile\b|\bwhereas\b|\bas well as\b|\bplus\b"
)
_OWN_CLAUSE = re.compile(
    r"\b(?:is|are|was|were|shows?|contains?|appears?|demonstrates?|has|have)\b"
)
_SIZE = re.compile(
    r"(\d+(?:\.\d+)?)(?:\s*(?:mm|cm)?\s*(?:x|×|\*|by|-|–|to)\s*(\d+(?:\.\d+)?))?"
    r"(?:\s*(?:mm|cm)?\s*(?:x|×|\*|by)\s*(\d+(?:\.\d+)?))?\s*(mm|cm)\b"
)
# Two sizes of one thing, then and now
_EARLIER = re.compile(r"\b(?:previous(?:ly)?|prior|before|formerly|compared|was|were)\b")
_REFERS_BACK = re.compile(
    r"^(?:it|this|that|these|they|the (?:largest|largest one)|largest|measur)"
)


def read_findings(report: str, vocabulary: Vocabulary | None = None) -> list[Mention]:
    """Read every finding that a report names, sentence by sentence.

    Parameters
    ----------
    report : str
        Sections such as technique, comparison and history are left out where they have a heading.
    """
    known = vocabulary or default_vocabulary()
    mentions: list[Mention] = []
    for sentence in plain_sentences(report):
        found = list(_Sentence(sentence, known).mentions())
        if not found and mentions and _REFERS_BACK.match(sentence):
            mentions[-1] = _completed(mentions[-1], sentence, known)
            if says_gone(sentence):
                mentions[-1] = replace(mentions[-1], status="absent")
        mentions += found
    return mentions


class _Sentence:
    """A sentence with its terms, and the parts whose terms share sides, sizes and organs."""

    def __init__(self, text: str, known: Vocabulary) -> None:
        self.text = text
        terms = [(term, match) for term in known.terms for match in term.pattern.finditer(text)]
        self.named = [Named(term, match.span()) for term, match in terms]
        self.segments = _segments(text, [one.span for one in self.named])
        self.organs = list(_organs_in(text, known))

    def mentions(self) -> Iterator[Mention]:
        for one in _longest([named for named in self.named if self._is_meant(named)]):
            status = status_of(self.text, one.span)
            if status is None:
                continue
            if each := list(self._listed(one)):
                for its_side, its_size in each:
                    yield Mention(one.term.finding, status, its_side, its_size)
                continue
            size = self._size(one) if one.term.sized else None
            for side in self._sides(one) if one.term.sided else (None,):
                yield Mention(one.term.finding, status, side, size)

    def _listed(self, named: Named) -> Iterator[tuple[str, float]]:
        """Yield each of "nodules: 4 mm in the RUL and 8 mm in the LLL", or with sides first."""
        if not (named.term.sized and named.term.sided):
            return
        start = named.span[1]
        others = [one.span[0] for one in self.named if one.span[0] > start]
        tail = self.text[start : min([*others, len(self.text)])]
        sizes = list(_SIZE.finditer(tail))
        if len(sizes) < 2 or _EARLIER.search(tail):
            return
        starts, ends = ([place(size) for size in sizes] for place in (re.Match.start, re.Match.end))
        after = pairwise([*starts, len(tail)])
        before = pairwise([0, *ends])
        for chunks in (after, before):
            sides = [_sides_in(tail[first:last]) for first, last in chunks]
            if all(len(one) == 1 for one in sides):
                yield from zip((one[0] for one in sides), map(_millimetres, sizes), strict=True)
                return

    def _parts(self, named: Named) -> list[Span]:
        """The part of a term, then those before it."""
        at = next(i for i, s in enumerate(self.segments) if s[0] <= named.span[0] < s[1])
        return self.segments[at::-1]

    def _organs_of(self, part: Span) -> list[tuple[Span, str]]:
        return [(span, organ) for span, organ in self.organs if part[0] <= span[0] < part[1]]

    def _is_meant(self, named: Named) -> bool:
        term, here = named.term, slice(*self._parts(named)[0])
        if term.unless and term.unless.search(self.text[here]):
            return False
        if not term.organs:
            return True
        organs = self._nearest_organs(named)
        return bool(organs & term.organs) or (term.unnamed and not organs)

    def _nearest_organs(self, named: Named) -> frozenset[str]:
        """Return the organ nearest to a term, in its own part or else in those before."""
        for found in map(self._organs_of, self._parts(named)):
            if found:
                nearest = min(_distance(span, named.span) for span, _ in found)
                return frozenset(o for span, o in found if _distance(span, named.span) == nearest)
        return frozenset()

    def _sides(self, named: Named) -> tuple[str | None, ...]:
        """Return the sides stated with a term, or else before it of the same organ."""
        own = self._nearest_organs(named)
        for part in self._parts(named):
            if sides := _sides_in(self.text[slice(*part)]):
                return sides
            others = {organ for _, organ in self._organs_of(part)}
            if own and others and not own & others:
                break
        return (None,)

    def _size(self, named: Named) -> float | None:
        """Return the size nearest to a term in its part of the sentence."""
        sizes = list(_SIZE.finditer(self.text, *self._parts(named)[0]))
        if not sizes:
            return None
        return _millimetres(min(sizes, key=lambda match: _distance(match.span(), named.span)))


def _longest(named: Sequence[Named]) -> Iterator[Named]:
    """Leave out what overlaps a longer wording of the same finding."""
    taken: list[Named] = []
    for one in sorted(named, key=lambda n: n.span[0] - n.span[1]):
        if all(
            other.term.finding != one.term.finding or not _overlap(other.span, one.span)
            for other in taken
        ):
            taken.append(one)
    yield from sorted(taken, key=lambda n: n.span)


def _segments(sentence: str, terms: Sequence[Span]) -> list[Span]:
    """Split a sentence so that each part has the sides, sizes and organs of its own terms.

    A part without term and without verb belongs to the one before: "a cyst at the pole, 20 mm".
    """
    cuts = [m.start() for m in _SPLIT.finditer(sentence) if not _inside(m.start(), terms)]
    borders = [0, *cuts, len(sentence)]
    parts: list[Span] = []
    for part in pairwise(borders):
        has_term = any(_overlap(part, term) for term in terms)
        follows = parts and any(_overlap(parts[-1], term) for term in terms)
        if follows and not has_term and not _OWN_CLAUSE.search(sentence[slice(*part)]):
            parts[-1] = (parts[-1][0], part[1])
        else:
            parts.append(part)
    return parts


def _organs_in(sentence: str, known: Vocabulary) -> Iterator[tuple[Span, str]]:
    """Yield organs where they stand; a part "of the spleen" is the spleen's."""
    strong = [
        (m.span(), o) for o, pattern in known.organs.items() for m in pattern.finditer(sentence)
    ]
    yield from strong
    for organ, pattern in known.parts.items():
        for match in pattern.finditer(sentence):
            rest = sentence[match.end() :]
            owned = re.match(r" of (?:the |both )?(?:left |right )?", rest)
            owner = match.end() + owned.end() if owned else -1
            if match.group().endswith("lobe") and any(o == "thyroid" for _, o in strong):
                organ = "thyroid"  # it has two lobes as well
            yield match.span(), next((o for span, o in strong if span[0] == owner), organ)


def _sides_in(text: str) -> tuple[str, ...]:
    found = list(_SIDE.finditer(text))
    if any(match["both"] for match in found):
        return SIDES
    return tuple(side for side in SIDES if any(match[side] for match in found))


def _millimetres(size: re.Match[str]) -> float:
    """The largest of the diameters, of a range its upper end."""
    numbers = [float(number) for number in size.groups()[:3] if number]
    return max(numbers) * (10 if size[4] == "cm" else 1)


def _completed(mention: Mention, sentence: str, known: Vocabulary) -> Mention:
    """Give a mention the size that the next sentence states: "It measures 8 mm."."""
    size = _SIZE.search(sentence)
    sized = any(t.sized for t in known.terms if t.finding == mention.finding)
    if size and sized and mention.size_mm is None:
        return replace(mention, size_mm=_millimetres(size))
    return mention


def _inside(position: int, spans: Iterable[Span]) -> bool:
    return any(start < position < end for start, end in spans)


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _distance(a: Span, b: Span) -> int:
    return max(a[0] - b[1], b[0] - a[1], 0)
