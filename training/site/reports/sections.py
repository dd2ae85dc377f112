"""Findings and impression of a report, by its headings in several languages."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Literal, cast

from training.site.deidentify.folding import tidied, unaccented

Name = Literal["findings", "report", "impression", "addendum", "original", "other"]

_WORDS = tomllib.loads((files("training.site.reports") / "headings.toml").read_text("utf-8"))
# spaces count in the verbose patterns below
_PATTERNS: dict[Name, str] = {
    cast(Name, name): "|".join(words).replace(" ", r"\ ") for name, words in _WORDS.items()
}
_KINDS = {name: re.compile(words, re.VERBOSE) for name, words in _PATTERNS.items()}
_ANY = "|".join(f"(?:{words})" for words in _PATTERNS.values())
# A heading has a line's beginning, perhaps behind a number, and a colon or the line's end; or it
# follows a sentence and has a colon
_HEADING = re.compile(
    rf"""(?:\A|(?<=\n))[\ \t]*(?:[ivx\d]{{1,3}}[.)][\ \t]*)?[*_\#=]*[\ \t]*
         (?P<line>{_ANY})[\ \t]*[*_=]*[\ \t]*(?:[:：][*_]*|(?=\n|\Z))
       |(?<=[\s.!?;])(?P<inline>{_ANY})[\ \t]*[:：]""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Sections:
    """What a report says. `headed` is false where it has no heading: then all of it is findings."""

    findings: str = field(default="", repr=False)
    impression: str = field(default="", repr=False)
    headed: bool = True

    @property
    def text(self) -> str:
        """Both, under the headings that drafts have too."""
        named = (("Findings", self.findings), ("Impression", self.impression))
        return "\n".join(f"{heading}: {body}" for heading, body in named if body)

    def amended(self, addendum: Sections) -> Sections:
        """Apply an addendum: its sections take the place of these; without any it is joined."""
        if addendum.headed:
            return replace(
                self,
                findings=addendum.findings or self.findings,
                impression=addendum.impression or self.impression,
            )
        return replace(self, impression=_joined([self.impression, addendum.findings]))


def find_sections(text: str) -> Sections:
    """Read a report.

    Sections of one kind are joined. What stands before the first heading is left out, as it is the
    letterhead; so are sections of other kinds. Line breaks become spaces. An addendum inside the
    text is applied: it reaches to the end where it follows the report, to the next heading before.

    Parameters
    ----------
    text : str
        A whole report, or an addendum.
    """
    parts = list(_parts(tidied(text)))
    if len(parts) == 1:
        return Sections(findings=_joined([parts[0][1]]), headed=False)
    report: list[tuple[Name, str]] = []
    addenda: list[list[tuple[Name, str]]] = []
    target = report
    for name, body in parts[1:]:
        if name == "addendum":
            addenda.append([("addendum", body)])
            target = addenda[-1] if _said(report) else report
        elif name == "original":
            target = report
        else:
            target.append((name, body))
    said = [_of(report)] if _said(report) or not addenda else []
    sections, *amendments = said + [_addition(addendum) for addendum in addenda]
    for amendment in amendments:
        sections = sections.amended(amendment)
    return sections


def kind_of_heading(word: str) -> Name | None:
    """What a word means as a heading; None where it is none."""
    folded = unaccented(unicodedata.normalize("NFC", word.strip()))
    return _kind(folded) if re.fullmatch(_ANY, folded, re.VERBOSE) else None


def _addition(parts: list[tuple[Name, str]]) -> Sections:
    sections = _of(parts)
    return sections if sections.text else Sections(_joined([parts[0][1]]), headed=False)


def _of(parts: list[tuple[Name, str]]) -> Sections:
    findings, report, impression = (
        _joined([body for name, body in parts if name == wanted])
        for wanted in ("findings", "report", "impression")
    )
    # "Report:" may head the findings, or all of it
    return Sections(findings or report, impression)


def _said(parts: list[tuple[Name, str]]) -> bool:
    return any(name in ("findings", "report", "impression") for name, _ in parts)


def _joined(bodies: list[str]) -> str:
    return " ".join(" ".join(bodies).split())


def _parts(text: str) -> Iterator[tuple[Name, str]]:
    """The text before the first heading, then each heading's kind and body."""
    marks = [match for match in _HEADING.finditer(unaccented(text)) if _is_heading(match, text)]
    ends = [match.start() for match in marks] + [len(text)]
    yield "other", text[: ends[0]]
    for match, end in zip(marks, ends[1:], strict=True):
        yield _kind(match["line"] or match["inline"]), text[match.end() : end]


def _is_heading(match: re.Match[str], text: str) -> bool:
    """In running text a heading is in capitals, or a capital after a stop begins it."""
    if match["line"] is not None:
        return True
    word = text[match.start("inline") : match.end("inline")]
    return word.isupper() or (word[0].isupper() and text[: match.start()].rstrip()[-1:] in ".!?;")


def _kind(word: str) -> Name:
    return next(name for name, words in _KINDS.items() if words.fullmatch(word))
