"""Whether a sentence asserts what it names: negated, hedged or present (docs/finding-score.md).

In the manner of NegEx (Chapman 2001): triggers before and after a term, each with a scope.
"""

from __future__ import annotations

import re
from typing import Literal

Status = Literal["present", "uncertain", "absent"]
Span = tuple[int, int]

_ADVERB = r"(?:(?:significant|interval|substantial|appreciable|definite|further|relevant)(?:ly)? )*"
_SEEN = (
    r"(?:seen|identified|visuali[sz]ed|present|evident|demonstrated|detected|noted|appreciated"
    r"|visible|demonstrable|found|shown|observed|apparent|redemonstrated)"
)
_BE = r"(?:is|are|was|were|has been|have been|remains?)"
_NEGATES_WHAT_PRECEDES = re.compile(
    rf"\b(?:{_BE} )?(?:not|no longer)(?: \w+ly)? {_SEEN}\b|\b(?:cannot|could not) be {_SEEN}\b"
    r"|\b(?:(?:has|have)(?: now| since)?(?: \w+ly)? )?(?<!and )"
    r"(?:resolved|disappeared|cleared|vanished|subsided|regressed completely)\b"
    r"|\b(?:is|are|was|were) (?:absent|unlikely|less likely|not likely)\b|\bunlikely$"
    rf"|\b{_BE} (?:ruled out|excluded|removed|resected)\b"
    r"|\bis gone\b|\(-\)|\babsent\b(?!:)|\bnone(?=$|,)|\bremoved\b|\? ?(?:no|none)\b"
    r"|\b(?:(?:is|are) )?(?:thought|felt|considered)(?: to be)? unlikely\b"
    r"|[:=–-] ?(?:none|no|nil|absent|negative|n/a|0|-)(?= ?(?:$|,))| -$"
)
_EXCLUDED = r"(?:(?:entirely|completely|fully) )?(?:exclude|excluded|rule out|ruled out)"
_HEDGES_WHAT_FOLLOWS = re.compile(
    r"\b(?:possibl[ey]|questionabl[ey]|equivocal|questions? of|suggestion of|less likely|doubt"
    r"|suspicious for|suspicion (?:of|for)|suspected"
    r"|concern(?:ing)? for|worrisome for|differential"
    r"|(?:may|might|could)(?: \w+ly)?(?: also)? (?:represent|be|reflect|indicate|suggest)"
    r"|either(?: represents?| reflects?)?|potential(?:ly)?|presumabl[ey]|presumed|evaluate for"
    r"|to rule out|r/o|versus|vs\.?|if any)"
    r"(?: (?:due|secondary|related) to)?(?!\w)"
    rf"|\b(?:does|do|did|would|will|doesn't) ?(?:not )?{_EXCLUDED}\b"
    rf"|\bcan(?: ?not)(?: be)? {_EXCLUDED}\b|\bdifficult to exclude\b|\? ?(?=\w)"
)
_HEDGES_WHAT_PRECEDES = re.compile(
    rf"\bcan(?: ?not) be {_EXCLUDED}\b|\b(?:{_BE} )?not {_EXCLUDED}\b"
    r"|\b(?:is|are) (?:possible|suspected|presumed|questioned|questionable|equivocal)\b"
    r"|\b(?:a|the) possibility\b|\bif any\b|\bdifficult to exclude\b|\bversus\b|\bvs\b"
    r"|\b(?:is |are )?less likely\b"
    r"|\b(?:may|might|could|should)(?: also)? be (?:present|there|considered)\b|\bindeterminate\b"
    r"|\(\?\)|\?"
)
_RECOMMENDED = (
    r"recommend(?:ed|ation|ations|s)?|advis(?:e|ed)|could be (?:obtained|performed|considered)"
    r"|should be (?:obtained|performed|considered)|clinical correlation|correlate"
)
_SAYS_NOTHING_OF_WHAT_FOLLOWS = re.compile(
    r"\b(?:sensitivity|sensitive|optimi[sz]ed|protocol(?:l?ed)?|designed)(?: \w+)? (?:to|for|in)\b"
    r"|\b(?:limit(?:ed|s|ing)?|suboptimal|inadequate|insufficient|non ?diagnostic|poor)\b"
    r"(?: \w+){0,3} (?:for|of|to)\b"
    rf"|\b(?:{_RECOMMENDED})\b(?!$)"
    r"|^(?:please )?(?:follow[ -]?up|surveillance|assessment|work ?up) (?:of|for)\b"
    r"|^(?:rule out|r/o|query)\b|\b(?:please )?assess for\b|\bif\b(?! not)"
)
"""Caveats, advice and questions: they name what nobody has seen."""

_SAYS_NOTHING_OF_WHAT_PRECEDES = re.compile(
    r"\b(?:is|are|was|were) (?:\w+ly )?"
    r"(?:limited|degraded|compromised|suboptimal|diminished|reduced)\b"
    r"|\bcan ?not be (?:\w+ly )?(?:assessed|evaluated)\b|\bnot (?:\w+ly )?(?:assessed|evaluated)\b"
    r"|\b(?:may|might|could|can|would) be (?:missed|overlooked|obscured|masked|occult)\b"
    r"|\bwould not be (?:seen|visible|demonstrable|detected)\b"
    r"|\bfor (?:further )?(?:follow[ -]?up|surveillance|re ?staging|re ?evaluation)$"
    r"|\bshould be (?:excluded|ruled out|considered clinically)\b"
)
_NAMES_THE_EXAMINATION = re.compile(
    r"\b(?:evaluation|assessment|detection|visuali[sz]ation|sensitivity|exclusion|known|suspected"
    r"|query|patient with)\b"
)
_ENDS_A_SCOPE = re.compile(
    r"\b(?:but|however|although|though|yet|except|excepting|apart from|aside from|other than"
    r"|besides|save for|with the exception of|because|due to|secondary to|instead|despite)\b|:"
    r"|\bwith (?=(?:an? )?(?:mild|stable|small|residual|large|minimal|moderate|trace|tiny|old"
    r"|chronic|persistent|unchanged|bibasilar|bilateral|left|right)\b)"
)
_JOINT = re.compile(r",| and ")
_NEW_CLAUSE = re.compile(
    r"(?:there|the|an?|stable|unchanged|persistent|known|again|mild|small|moderate|trace|tiny"
    r"|minimal|multiple|several|left|right|bilateral|bibasilar|biapical|old|chronic|simple|residual"
    r"|[lr][ulm]l|lingular?|status post)\b"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|shows?|contains?|demonstrates?|has|have|there|persists?|remains?"
    r"|present)\b"
)
_MEASURED = re.compile(r"\d ?(?:mm|cm)\b")
_OTHER_CLAUSE = re.compile(
    r"\b(?:is|are|was|were|shows?|there|but|however|while|whereas|although|though|could|may"
    r"|might)\b"
)


def status_of(sentence: str, term: Span) -> Status | None:
    """Tell whether a sentence in lower case asserts the term at `term`; None: it says nothing."""
    if _is_before(_SAYS_NOTHING_OF_WHAT_FOLLOWS, sentence, term) or _is_only_examined(
        sentence, term
    ):
        return None
    masked = _mask(_PSEUDO, sentence)
    plain = _mask(_HEDGES_WHAT_PRECEDES, _mask(_HEDGES_WHAT_FOLLOWS, masked))
    if (
        _IN_THE_PAST.search(sentence[: term[0]])
        or _is_before(_NEGATES_WHAT_FOLLOWS, plain, term)
        or _is_after(_NEGATES_WHAT_PRECEDES, plain, term)
    ):
        return "absent"
    hedges = (
        _is_before(_HEDGES_WHAT_FOLLOWS, masked, term, _VERB),
        _is_after(_HEDGES_WHAT_PRECEDES, masked, term),
    )
    return "uncertain" if any(hedges) else "present"


def _is_only_examined(sentence: str, term: Span) -> bool:
    """Tell "evaluation for effusion is limited" and "known nodule for follow-up".

    "The effusion is limited to the base" says something of it; so does "known nodule, unchanged".
    """
    after = _SAYS_NOTHING_OF_WHAT_PRECEDES
    if not _is_after(after, sentence, term):
        return False
    ends = after.search(sentence, term[1])
    missed = ends is not None and not re.match(r"is|are|was|were|for\b", ends.group())
    return missed or _NAMES_THE_EXAMINATION.search(sentence[: term[0]]) is not None


def _is_before(
    trigger: re.Pattern[str],
    sentence: str,
    term: Span,
    clause: re.Pattern[str] | None = None,
) -> bool:
    """Whether a trigger stands before the end of the term, and its scope reaches the term.

    Before the end: "heart is not enlarged" is one term. "No consolidation and small effusions" has
    effusions; "may be atelectasis and small effusions" may have none: there only a `clause`, a
    verb, ends what is hedged.
    """
    return any(
        found.start() < term[1] and term[0] < _scope_end(sentence, found.end(), clause)
        for found in trigger.finditer(sentence)
    )


def _is_after(trigger: re.Pattern[str], sentence: str, term: Span) -> bool:
    """Whether a trigger follows the term with no other clause between."""
    return any(
        found.start() >= term[1] and _belongs(sentence[term[1] : found.start()], found.group())
        for found in trigger.finditer(sentence)
    )


def _belongs(between: str, trigger: str) -> bool:
    """Whether a trigger is said of what stands before it; alternatives reach no further back."""
    if re.search("versus|vs|less likely", trigger) and "," in between:
        return False
    return not _OTHER_CLAUSE.search(between)


def _scope_end(sentence: str, start: int, clause: re.Pattern[str] | None) -> int:
    """Where the scope of a trigger ends that stands before `start`."""
    end = _ENDS_A_SCOPE.search(sentence, start)
    limit = end.start() if end else len(sentence)
    for joint in _JOINT.finditer(sentence, start, limit):
        rest = sentence[joint.end() : limit].lstrip()
        ends_here = clause.search(_JOINT.split(rest)[0]) if clause else None
        if (
            clause is None
            and joint.group() == ","
            and _closed_list(sentence[start : joint.start()], rest)
        ):
            return joint.start()
        if ends_here or (clause is None and _begins_another_clause(rest, joint.group())):
            return joint.start()
    return limit


def _closed_list(said: str, rest: str) -> bool:
    """Tell "no effusion or pneumothorax, cardiomegaly" from "no effusion, nodule or mass"."""
    return re.search(r"\bn?or\b", said) is not None and not re.search(r"\bn?or\b", rest)


def says_gone(sentence: str) -> bool:
    """Whether a sentence that refers back says that the thing is not there any more."""
    plain = _mask(_PSEUDO, sentence)
    return _NEGATES_WHAT_PRECEDES.search(plain) is not None


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


_PART = r"(?:not|never|incompletely|partially|partly)"
_PSEUDO = re.compile(
    rf"\b(?:no|without)(?: evidence (?:of|for))? {_ADVERB}"
    r"(?:change|increase|decrease|difference|growth|progression|improvement|worsening|alteration)\b"
    r"|\bno enlargement(?= of the (?!heart|spleen|liver|thyroid|prostate))"
    rf"|\bnot {_ADVERB}(?:changed|increased|decreased|grown|different|improved|worsened)\b"
    r"|\bnot (?:only|necessarily|just)\b|\bno\. ?\d"
    rf"|\b{_PART}(?: yet| completely| fully| entirely| quite)* (?:resolved|cleared|disappeared)\b"
    r"|\bunresolved\b|\bresolving\b"
    r"|\b(?:nearly|almost|essentially|largely|mostly)(?: completely)? resolved(?= with)"
    # Absent on another study, or badly seen on this one
    rf"|\bnot (?:\w+ly )?{_SEEN}(?: (?:on|in|at))?(?: the| any)?(?: \w+)?"
    r" (?:prior|previous|earlier|old|last|comparison|radiograph)\w*\b"
    rf"|\bnot {_SEEN} (?:previously|before|earlier)\b|\bnot previously {_SEEN}\b"
    rf"|\bnot (?:well|clearly|optimally|fully) {_SEEN}\b"
    # "No" to something else than a finding
    r"|\bno doubt\b|\bno (?:prior|previous|comparison)\w*\b"
    r"|\b(?:no|without)(?: (?:intravenous|iv|oral))? contrast\b"
    r"|\b(?:incomplete|partial|near[- ]complete|slow|no|without(?: complete)?|lack of)"
    r"(?: interval)? resolution\b"
)
"""Negations of something else than a finding: "no change in the nodule"."""

_NEGATES_WHAT_FOLLOWS = re.compile(
    r"\bno(?: evidence (?:of|for))?:|^the following (?:is|are) absent\b|^\[ ?\]"
    r"|\b(?:no|without|not|nor|neither|negative for|absence of|free (?:of|from)|clear of|lack of"
    r"|lacks|devoid of|denies|resolution of|removal of|nothing to (?:suggest|indicate)|cannot see"
    r"|unlikely to (?:represent|be|reflect)|rather than|(?:rules?|ruled) out|excludes?|excluding"
    r"|simulating|mimicking|neg for"
    r"|fail(?:s|ed) to (?:show|demonstrate|reveal)|never had)\b|\bw/o(?= )"
    r"|(?:^|(?<=the )|(?<=now )|(?<=, )|(?<=interval )|(?<=and ))(?:resolved|cleared|removed)(?= )"
)
_IN_THE_PAST = re.compile(r"\b(?:history of|h/o|status post|s/p)\b(?:(?!\bwith\b)[^,])*$")
