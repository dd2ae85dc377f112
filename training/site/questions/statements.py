"""Simple statements of a report: a finding that is there or not, and on which side.

A sentence counts only if it is nothing but a finding, a side and words that change neither; and a
finding only if every mention of it in the report is in such sentences and they agree. All else, a
suspicion or a comparison, is passed over: what is stated here is exactly what was said.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal, cast

from training.data.letters import unaccented

Side = Literal["left", "right", "bilateral"]

_WORDS = tomllib.loads((files("training.site.questions") / "statements.toml").read_text("utf-8"))


def _any(words: Sequence[str]) -> str:
    return "|".join(words)


_FINDINGS, _ORGANS, _SIDES = (
    {name: _any(words) for name, words in _WORDS[table].items()}
    for table in ("findings", "organs", "sides")
)
_NO, _EVIDENCE, _FILLERS, _NORMAL, _LINKS = (
    _any(_WORDS[name]) for name in ("no", "evidence", "fillers", "normal", "links")
)


@dataclass(frozen=True)
class Statement:
    """A finding that a report says is there, or is not.

    Parameters
    ----------
    finding : str
        As `statements.toml` names it.
    present : bool
    side : {"left", "right", "bilateral"}, optional
        None where no sentence gives one.
    sentence : str
        The first that says it.
    """

    finding: str
    present: bool
    side: Side | None
    sentence: str = field(repr=False)


def statements(text: str) -> list[Statement]:
    """Read the statements of a report, by finding."""
    said: dict[str, list[Statement]] = defaultdict(list)
    doubtful: set[str] = set()
    for sentence in _sentences(text):
        mentioned = _mentioned(sentence)
        simple = _simple(sentence, mentioned)
        if simple:
            said[simple.finding].append(simple)
        else:
            doubtful |= set(mentioned)
    agreed = {
        finding: found[0]
        for finding, found in said.items()
        if len({(one.present, one.side) for one in found}) == 1
    }
    return [agreed[finding] for finding in sorted(agreed) if finding not in doubtful]


def normal_organs(text: str) -> list[tuple[str, str]]:
    """Organs of which a sentence says that they are normal and nothing else, with that sentence."""
    found: dict[str, str] = {}
    mentioned: Counter[str] = Counter()
    for sentence in _sentences(text):
        folded = _folded(sentence)
        for organ, words in _ORGANS.items():
            rest, count = re.subn(rf"\b(?:{words})\b", " ", folded)
            mentioned[organ] += bool(count)
            rest, said = re.subn(rf"\b(?:{_NORMAL})(?!\w)", " ", rest)
            if count == said == 1 and not re.sub(rf"\b(?:{_LINKS})\b|\.", " ", rest).strip():
                found[organ] = sentence
    return [(organ, found[organ]) for organ in sorted(found) if mentioned[organ] == 1]


def _sentences(text: str) -> Iterator[str]:
    """Sentences without the headings of `Sections.text`; an abbreviation ends none."""
    for line in text.splitlines():
        begun = ""
        for part in re.split(r"(?<=[.;!?])\s+", re.sub(r"^(?:Findings|Impression): ", "", line)):
            begun = f"{begun} {part}".strip()
            # "V. a." or "Susp." casts doubt on what follows, so a lone word belongs to it
            if " " in part or _mentioned(part):
                yield begun
                begun = ""
        if begun:
            yield begun


def _mentioned(sentence: str) -> list[str]:
    folded = _folded(sentence)
    return [name for name, terms in _FINDINGS.items() if re.search(rf"\b(?:{terms})\b", folded)]


def _simple(sentence: str, mentioned: list[str]) -> Statement | None:
    """The statement of a sentence of one finding, one side at most and fillers; else None."""
    if len(mentioned) != 1:
        return None
    rest, count = re.subn(rf"\b(?:{_FINDINGS[mentioned[0]]})\b", " ", _folded(sentence))
    absent = re.match(rf"(?:il n'y a |there is |there are )?(?:{_NO})(?=[\s'])\s*", rest)
    if absent:
        rest = re.sub(rf"^(?:{_EVIDENCE})", "", rest[absent.end() :].lstrip())
    sides = [side for side, words in _SIDES.items() if re.search(rf"\b(?:{words})\b", rest)]
    for words in (*_SIDES.values(), _FILLERS):
        rest = re.sub(rf"\b(?:{words})\b", " ", rest)
    if count != 1 or len(sides) > 1 or re.search(r"\w", rest) or "?" in rest or "," in rest:
        return None
    if absent and sides:
        return None  # "no left effusion" says nothing of the right one
    side = cast(Side, sides[0]) if sides else None
    return Statement(mentioned[0], not absent, side, sentence)


def _folded(text: str) -> str:
    return unaccented(unicodedata.normalize("NFC", text)).rstrip(". ")
