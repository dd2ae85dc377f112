"""How much the rules find, and how much they take that should stay: on invented sentences.

`sentences/LANGUAGE.txt` holds them, one a line. What stands in braces identifies; what stands in
⟨⟩ may go or stay; everything else is to stay. A line of `[name …] [number …] [date …] [place …]`
says what the headers know of the lines below it, up to the next empty line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import regex

from training.data.letters import tidied
from training.site.deidentify.known import KnownValues
from training.site.redaction.identifiers import Recognizer, find_identifiers
from training.site.redaction.spans import Change

_MARK = regex.compile(r"[{}⟨⟩]")
_KNOWN = regex.compile(r"\[(name|number|date|place) ([^\]]+)\]")
# scripts without spaces have a word in every character
_TOKEN = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}]|[[\p{L}\p{N}\p{M}]--[\p{Han}]]+", regex.V1
)


@dataclass(frozen=True)
class Sentence:
    """A sentence, and which of its characters must go or stay.

    Parameters
    ----------
    language : str
        ISO 639-1.
    text : str
        Without the marks.
    known : KnownValues
        What the headers of its study hold.
    planted, free : tuple of range
        What identifies, and what may go or stay, in characters of the text.
    """

    language: str
    text: str
    known: KnownValues
    planted: tuple[range, ...]
    free: tuple[range, ...]

    def leaked(self, changes: Sequence[Change]) -> list[str]:
        """Identifiers of which a letter or digit is left."""
        gone = _covered(changes)
        return [
            self.text[span.start : span.stop]
            for span in self.planted
            if any(self.text[i].isalnum() and i not in gone for i in span)
        ]

    def words(self) -> list[range]:
        """Where the words stand that are to stay."""
        other = {i for span in (*self.planted, *self.free) for i in span}
        spans = (range(*match.span()) for match in _TOKEN.finditer(self.text))
        return [span for span in spans if other.isdisjoint(span)]

    def lost(self, changes: Sequence[Change]) -> list[str]:
        """Words that should have stayed, and did not."""
        gone = _covered(changes)
        return [self.text[s.start : s.stop] for s in self.words() if not gone.isdisjoint(s)]


@dataclass(frozen=True)
class Score:
    """Counts of one language, or of several.

    Parameters
    ----------
    sentences, planted, found, words, lost : int
        Sentences; identifiers in them, and how many of these are gone as a whole; words that are
        to stay, and how many of these are gone.
    """

    sentences: int = 0
    planted: int = 0
    found: int = 0
    words: int = 0
    lost: int = 0

    def __add__(self, other: Score) -> Score:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Score(*(mine + theirs for mine, theirs in pairs))

    @property
    def recall(self) -> float:
        return self.found / self.planted if self.planted else 1.0

    @property
    def loss(self) -> float:
        return self.lost / self.words if self.words else 0.0


def sentences() -> Iterator[Sentence]:
    """Read every sentence of every language."""
    for path in sorted((files("training.site.redaction") / "sentences").iterdir(), key=str):
        known = KnownValues()
        for line in path.read_text("utf-8").splitlines():
            if _KNOWN.match(line):
                known = _known(line)
            elif line:
                yield _sentence(path.name.partition(".")[0], line, known)
            else:
                known = KnownValues()


def measure(recognizers: Sequence[Recognizer] = ()) -> Mapping[str, Score]:
    """Score the rules, and a recognizer if there is one, by language; `all` is their sum."""
    scores: dict[str, Score] = {}
    for sentence in sentences():
        changes = find_identifiers(sentence.text, sentence.known, recognizers)
        planted, words = len(sentence.planted), len(sentence.words())
        found = planted - len(sentence.leaked(changes))
        score = Score(1, planted, found, words, len(sentence.lost(changes)))
        scores[sentence.language] = scores.get(sentence.language, Score()) + score
    return {**scores, "all": sum(scores.values(), Score())}


def stated() -> Mapping[str, Score]:
    """Scores of the rules without a recognizer, as `docs/rules.py` measured them last."""
    kept = json.loads((files("training.site.redaction") / "measured.json").read_text("utf-8"))
    return {language: Score(**counts) for language, counts in kept.items()}


def table(scores: Mapping[str, Score]) -> Iterator[str]:
    """Lines of a table in Markdown."""
    yield "| language | sentences | identifiers | found | words that should stay | lost |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for language, score in scores.items():
        yield (
            f"| {language} | {score.sentences} | {score.planted} | {score.recall:.1%} "
            f"| {score.words} | {score.loss:.2%} |"
        )


def faults(recognizers: Sequence[Recognizer] = ()) -> Iterator[str]:
    """Say of every sentence what is left, and what is gone that should have stayed."""
    for sentence in sentences():
        changes = find_identifiers(sentence.text, sentence.known, recognizers)
        for what, found in (("left", sentence.leaked(changes)), ("lost", sentence.lost(changes))):
            if found:
                yield f"{sentence.language}: {what}: {', '.join(found)}: {sentence.text}"


def _known(line: str) -> KnownValues:
    found: dict[str, list[str]] = {}
    for match in _KNOWN.finditer(line):
        found.setdefault(f"{match[1]}s", []).append(match[2])
    return KnownValues().plus(**found)


def _sentence(language: str, line: str, known: KnownValues) -> Sentence:
    text, opened = "", 0
    spans: dict[str, list[range]] = {"}": [], "⟩": []}
    for part in regex.split(f"({_MARK.pattern})", tidied(line)):
        if part in ("{", "⟨"):
            opened = len(text)
        elif part in ("}", "⟩"):
            spans[part].append(range(opened, len(text)))
        else:
            text += part
    return Sentence(language, text, known, tuple(spans["}"]), tuple(spans["⟩"]))


def _covered(changes: Sequence[Change]) -> set[int]:
    return {i for change in changes for i in range(change.start, change.end)}
