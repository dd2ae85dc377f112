"""Findings and impression of a report, by its headings in several languages."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Literal, cast

from training.data.letters import tidied, unaccented

Name = Literal[
    "findings", "report", "impression", "addendum", "original", "comparison", "other", "closing"
]

_WORDS = tomllib.loads((files("training.data") / "headings.toml").read_text("utf-8"))
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

    Where nothing heads the findings, they are what follows the first paragraph of another section
    (of a comparison: its first line or sentence), and what stands below a heading in capitals that
    is not known, such as "CT CHEST:". Where that gives nothing either, and there is no impression,
    they are the sentences before the first heading.

    Parameters
    ----------
    text : str
        A whole report, or an addendum.
    """
    parts = list(_parts(tidied(text)))
    if len(parts) == 1:
        return Sections(findings=_joined([parts[0][1]]), headed=False)
    parts = _continued(parts)
    if not any(name in ("findings", "report") and body.strip() for name, body in parts):
        parts = _with_findings(parts)
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


_NOT_OF_IMAGES = ("comparison", "other", "closing")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_FIRST_LINE = re.compile(r"(?<=[.!?])[ \t]*\n[ \t]*(?=[^\W\d_a-z])")
_FIRST_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
# "PORTABLE AP VIEW OF THE CHEST:", "CT ABDOMEN WITHOUT CONTRAST:"
_CAPITALS = re.compile(r"(?:\A|(?<=\n))[ \t]*[^\W\d_a-z][^\na-z:]{2,70}:")
# "Lungs: clear." in lines of their own
_LABEL_LINE = re.compile(r"\n[ \t]*(?=[^\W\d_][^\n:.]{2,30}:[ \t]*\S)")
_SENTENCE = re.compile(r"(?:\S+\s+){2,}\S+[.!?]")
# A letterhead has none of these
_VERB = re.compile(
    r"\b(?:is|are|was|were|there|no|seen|shows?|kein\w*|zeigt|ist|sind|pas|il y a|hay|se observa"
    r"|geen|non|presenta)\b",
    re.IGNORECASE,
)


def _with_findings(parts: list[tuple[Name, str]]) -> list[tuple[Name, str]]:
    """Take the findings out of sections that only begin with what their headings say."""
    before, *headed = parts
    found = _redivided(headed)
    if any(name in ("findings", "addendum") and body.strip() for name, body in found):
        return [before, *found]
    said = [one for one in _PARAGRAPH.split(before[1]) if _SENTENCE.search(one)]
    if any(name == "impression" and body.strip() for name, body in found):
        said = [one for one in said if _VERB.search(one)]
    return [before, ("findings", " ".join(said)), *found]


def _continued(parts: list[tuple[Name, str]]) -> list[tuple[Name, str]]:
    """Let findings go on after a comparison among them: "No clot. Comparison: CT. Old scar"."""
    found: list[tuple[Name, str]] = []
    said: Name | None = None
    for name, body in parts:
        if name in ("findings", "report") and body.strip():
            said = name
        elif name == "comparison" and said is not None:
            own, rest = _divided(name, body)
            found += [(name, own), (said, rest)]
            continue
        elif name in ("impression", "addendum", "closing"):
            said = None
        found.append((name, body))
    return found


def _redivided(headed: list[tuple[Name, str]]) -> list[tuple[Name, str]]:
    found: list[tuple[Name, str]] = []
    for name, body in headed:
        own, rest = _divided(name, body)
        found.append((name, own))
        if rest.strip():
            found.append(("findings", rest))
    return found


def _divided(name: Name, body: str) -> tuple[str, str]:
    """Divide the body of a section into what its heading is about, and findings."""
    if name not in ("comparison", "other"):
        return body, ""
    ends = [_CAPITALS, _PARAGRAPH, _LABEL_LINE, _FIRST_LINE]
    if name == "comparison":
        ends.append(_FIRST_SENTENCE)
    # white space before the first word is no end
    start = len(body) - len(body.lstrip())
    for end in ends:
        match = end.search(body, start)
        if match and body[match.end() :].strip():
            return body[: match.start()], body[match.end() :]
    return body, ""


def said_of_images(text: str) -> list[str]:
    """Return what a report says of its images, in the order in which it stands there.

    That is all but the sections on the examination itself, on other studies, on the patient's
    history, on recommendations, and who signed.
    """
    parts = _continued(list(_parts(tidied(text))))
    if not any(name in ("findings", "report") and body.strip() for name, body in parts):
        parts = [parts[0], *_redivided(parts[1:])]
    return [parts[0][1], *(body for name, body in parts[1:] if name not in _NOT_OF_IMAGES)]


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
    before = text[: match.start()].rstrip(" \t").rpartition("\n")[2].split()
    if word.isupper() and before and before[-1].isupper() and before[-1][-1].isalpha():
        return False  # the end of a longer one: "CT CHEST WITHOUT CONTRAST:"
    return word.isupper() or (word[0].isupper() and text[: match.start()].rstrip()[-1:] in ".!?;")


def _kind(word: str) -> Name:
    return next(name for name, words in _KINDS.items() if words.fullmatch(word))
