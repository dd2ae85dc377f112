"""Whether a sentence asserts what it names: negated, hedged or present (docs/finding-score.md).

In the manner of NegEx (Chapman 2001): triggers before and after a term, each with a scope.
"""

from __future__ import annotations

import re
from typing import Literal

Status = Literal["present", "uncertain", "absent"]
Span = tuple[int, int]

_ADVERB = r"(?:(?:significant|interval|substantial|appreciable|definite|further|relevant)(?:ly)? )*"
_PSEUDO = re.compile(
    rf"\bno {_ADVERB}(?:change|increase|decrease|difference|growth|progression)\b"
    rf"|\bwithout {_ADVERB}(?:change|increase|decrease|growth|progression)\b"
    rf"|\bnot {_ADVERB}(?:changed|increased|decreased|grown|different)\b"
    r"|\bnot (?:only|necessarily|just)\b|\bno\. ?\d"
)
"""Negations of something else than a finding: "no change in the nodule"."""

_NEGATES_WHAT_FOLLOWS = re.compile(
    r"\b(?:no|without|not|nor|neither|negative for|absence of|free (?:of|from)|clear of|lack of"
    r"|lacks|devoid of|denies|resolution of|rather than|(?:rules?|ruled) out|excludes?|excluding)\b"
)
_IN_THE_PAST = re.compile(r"\b(?:history of|status post|s/p)\b[^,]*$")
_SEEN = (
    r"(?:seen|identified|visuali[sz]ed|present|evident|demonstrated|detected|noted|appreciated"
    r"|visible|found|shown|observed|apparent|redemonstrated)"
)
_BE = r"(?:is|are|was|were|has been|have been|remains?)"
_NEGATES_WHAT_PRECEDES = re.compile(
    rf"\b(?:{_BE} )?(?:not|no longer)(?: \w+ly)? {_SEEN}\b|\bcannot be {_SEEN}\b"
    r"|\b(?:(?:has|have)(?: now| since)?(?: \w+ly)? )?(?:resolved|disappeared|cleared)\b"
    r"|\b(?:is|are|was|were) (?:absent|unlikely)\b|\bunlikely$"
    rf"|\b{_BE} (?:ruled out|excluded|removed|resected)\b"
    r"|[:=-] ?(?:none|no|nil|absent|negative)(?= ?(?:$|,))"
)
_EXCLUDED = r"(?:(?:entirely|completely|fully) )?(?:exclude|excluded|rule out|ruled out)"
_HEDGES_WHAT_FOLLOWS = re.compile(
    r"\b(?:possibl[ey]|questionabl[ey]|equivocal|suspicious for|suspicion (?:of|for)|suspected"
    r"|concern(?:ing)? for|worrisome for|differential|(?:may|might|could) (?:represent|be|reflect)"
    r"|evaluate for|to rule out|r/o|versus|vs\.?)(?!\w)"
    rf"|\bcan(?: ?not)(?: be)? {_EXCLUDED}\b|\bdifficult to exclude\b|\? ?(?=\w)"
)
_HEDGES_WHAT_PRECEDES = re.compile(
    rf"\bcan(?: ?not) be {_EXCLUDED}\b|\b(?:{_BE} )?not {_EXCLUDED}\b"
    r"|\b(?:is|are) (?:possible|suspected|questioned|questionable|equivocal)\b|\bversus\b|\bvs\b"
    r"|\(\?\)|\?"
)
_ENDS_A_SCOPE = re.compile(
    r"\b(?:but|however|although|though|yet|except|excepting|apart from|aside from|other than"
    r"|besides|save for|with the exception of|because|due to|secondary to|instead)\b|:"
)
_JOINT = re.compile(r",| and ")
_NEW_CLAUSE = re.compile(
    r"(?:there|the|an?|stable|unchanged|persistent|known|again|mild|small|moderate|trace|tiny"
    r"|minimal|multiple|several)\b"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|shows?|contains?|demonstrates?|has|have|there|persists?|remains?)\b"
)
_MEASURED = re.compile(r"\d ?(?:mm|cm)\b")
_OTHER_CLAUSE = re.compile(
    r"\b(?:is|are|was|were|shows?|there|but|however|while|whereas|although)\b"
)


def status_of(sentence: str, term: Span) -> Status:
    """Tell whether a sentence in lower case asserts the term at `term`."""
    masked = _mask(_PSEUDO, sentence)
    plain = _mask(_HEDGES_WHAT_PRECEDES, _mask(_HEDGES_WHAT_FOLLOWS, masked))
    if (
        _IN_THE_PAST.search(sentence[: term[0]])
        or _is_before(_NEGATES_WHAT_FOLLOWS, plain, term)
        or _is_after(_NEGATES_WHAT_PRECEDES, plain, term)
    ):
        return "absent"
    hedges = (
        _is_before(_HEDGES_WHAT_FOLLOWS, masked, term),
        _is_after(_HEDGES_WHAT_PRECEDES, masked, term),
    )
    return "uncertain" if any(hedges) else "present"


def _is_before(trigger: re.Pattern[str], sentence: str, term: Span) -> bool:
    """Whether a trigger stands before the end of the term, and its scope reaches the term.

    Before the end: "heart is not enlarged" is one term.
    """
    return any(
        found.start() < term[1] and term[0] < _scope_end(sentence, found.end())
        for found in trigger.finditer(sentence)
    )


def _is_after(trigger: re.Pattern[str], sentence: str, term: Span) -> bool:
    """Whether a trigger follows the term with no other clause between."""
    return any(
        found.start() >= term[1] and not _OTHER_CLAUSE.search(sentence[term[1] : found.start()])
        for found in trigger.finditer(sentence)
    )


def _scope_end(sentence: str, start: int) -> int:
    """Where the scope of a trigger ends that stands before `start`."""
    end = _ENDS_A_SCOPE.search(sentence, start)
    limit = end.start() if end else len(sentence)
    for joint in _JOINT.finditer(sentence, start, limit):
        if _begins_another_clause(sentence[joint.end() : limit].lstrip(), joint.group()):
            return joint.start()
    return limit


def _begins_another_clause(rest: str, joint: str) -> bool:
    """Tell "no effusion, a nodule" from "no effusion, nodule or mass"."""
    if re.search(r"\bn?or\b", rest):
        return False
    segment = _JOINT.split(rest)[0]
    if _NEW_CLAUSE.match(segment) or _MEASURED.search(segment):
        return True
    return joint == "," and _VERB.search(segment) is not None


def _mask(pattern: re.Pattern[str], text: str) -> str:
    """Blank out what matches, so that positions stay."""
    return pattern.sub(lambda found: "·" * len(found.group()), text)
