"""Where the sections of a generated text begin and end."""

import re
from enum import StrEnum

from reporting.text.sentences import Span


class Heading(StrEnum):
    """The sections of a draft, in reading order."""

    IMPRESSION = "Impression"
    FINDINGS = "Findings"
    TECHNIQUE = "Technique"


_WORD = r"(technique|findings?|impressions?)"
_MARK = r"[*_#]*[ \t]*"
# After a stop or at a line start any case will do; in running text only a capital tells a heading
# from "an incidental finding: ..."
_HEADING = re.compile(
    rf"(?:\A|(?<=[.!?:;。\n]))\s*{_MARK}(?i:{_WORD})[ \t]*[*_]*[ \t]*(?:[:：][*_]*|(?=\n))"
    r"|(?<=\s)(Technique|TECHNIQUE|Findings|FINDINGS|Impression|IMPRESSION)[ \t]*[:：]"
)
_BY_INITIAL = {"t": Heading.TECHNIQUE, "f": Heading.FINDINGS, "i": Heading.IMPRESSION}


def heading_spans(text: str) -> list[tuple[Heading, Span]]:
    """Find the sections of a text that says "Technique: … Findings: … Impression: …".

    Whatever stands before the first heading, and the whole of a text without any, is Findings.

    Returns
    -------
    list of (Heading, (start, end))
        Spans of the sections' bodies in the order of the text; a heading may come more than once.
    """
    matches = list(_HEADING.finditer(text))
    starts = [(Heading.FINDINGS, 0)]
    starts += [(_BY_INITIAL[(m[1] or m[2])[0].lower()], m.end()) for m in matches]
    ends = [m.start() for m in matches] + [len(text)]
    return [(name, (start, end)) for (name, start), end in zip(starts, ends, strict=True)]
