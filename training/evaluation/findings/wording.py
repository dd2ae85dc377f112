"""A report as plain sentences: whole lines, small letters, sides and labels written in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from training.data.sections import said_of_images

# Lines are wrapped at 70 characters and more; a shorter one may be all of a list's entry
_FULL_LINE = 60
_ITEM = re.compile(r"(?:\d{1,2}[.)]|[-•*])\s")
_UNFINISHED = re.compile(
    r"(?:,|\b(?:no|not|nor|without|of|the|an?|and|or|with|in|on|at|to|from|for|by|is|are|was|were|be"
    r"|been|has|have|left|right|mild|moderate|small|large|trace|acute|new|evidence|there|this|that"
    r"|which|may|could|than|both|bilateral|any|definite|pleural|lower|upper|middle))$",
    re.IGNORECASE,
)
# "Embolism: no" ends a line; "There is no" does not
_ANSWERED = re.compile(r"[:=–-] *(?:no|none|yes|nil|absent|negative)$", re.IGNORECASE)
_NEGATES = re.compile(r"(?<![:=–-] )\b(?:no|without|no evidence (?:of|for))$", re.IGNORECASE)
_HEADS_A_NEGATED_LIST = re.compile(r"\b(?:no|without)\b[^.:;]*:(?: [^.;]*,)?$", re.IGNORECASE)
# "Heart: enlarged": the label of an organ; "effusion: none" is read as it stands
_LABEL = re.compile(
    r"^([a-z][a-z ,/&-]{2,40}): ?(?! |no\b|none\b|nil\b|absent\b|negative\b|not\b|n/a\b|0)"
)
_ABBREVIATION = re.compile(r"\b(approx|lt|rt|e\.g|i\.e|dr|vs|cf|fig|ca)\.(?=\s+[\w(])", re.I)
# A dash before an answer, and a question with its answer, divide nothing
_ANSWER = r"(?:no|none|nil|yes|absent|present|negative|not|n/a|normal)\b"
_SENTENCE = re.compile(
    rf"(?<=[.!;])\s+|(?<=\w\?)\s+(?!{_ANSWER})|\n+|\s+[•*-]\s+(?!{_ANSWER})", re.IGNORECASE
)
# "moderate right and small left", "left greater than right", "R>L"
_AMOUNT = (
    r"(?:(?:\w+ly|\w+[- ]sized|tiny|trace|minimal|small(?:er)?|mild|moderate|larger?|new|stable) )*"
)
_BOTH_SIDES = re.compile(
    rf"\b(left|right)(?:[ -]sided)? ?{_AMOUNT}"
    r"(?:and|&|/|>|<|or|as well as|(?:greater|more|larger|less|smaller) than)"
    rf"(?: on)?(?: the)? ?{_AMOUNT}(?!\1)(?:left|right)\b"
)
_BOTH_LETTERS = re.compile(r"\(?\b(?:r ?[><=/] ?l|l ?[><=/] ?r)\b\)?")
# "none on the right", "but not on the left": said of what was named before
_OTHER_SIDE_FREE = re.compile(
    r"(?:,|;|\band\b|\bbut\b|\bwith\b)?\s*\b(?:none|not|nothing|neither)(?: (?:is|was|are))?"
    r"(?: (?:seen|present|identified|visible))?(?: (?:on|in|at))?(?: the)? (?:left|right)"
    r"(?:[ -](?:side|sided|one|lung|hemithorax))?(?= ?(?:$|[,;.)]|and\b|but\b))"
)
_THING = r"((?:small |trace |moderate |large |mild )?(?:pleural )?\w+)"
_PLAINER: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bcan't\b"), "cannot"),
    (re.compile(r"\b(is|are|was|were|do|does|did|has|have|could)n't\b"), r"\1 not"),
    # Sides that are nobody's: where a mediastinum moves, an arch lies, a setting is apt
    (
        re.compile(r"\b(?:mediastinal )?shift(?:ed|ing)? (?:to|towards?) the (?:left|right)\b"),
        "shift",
    ),
    (re.compile(r"\b(?:left|right)[ -]sided (?=aort|arch)"), ""),
    (re.compile(r"\bin the right (?=(?:clinical )?(?:setting|context))"), "in the "),
    (
        re.compile(
            r"(?:,| with| and)? (?:the )?(?:left|right) (?:lung|side|hemithorax|base)(?: is| are)?"
            r" (?:clear|normal|unremarkable)\b"
        ),
        "",
    ),
    # "small right but no left effusion", "no left and small right effusion"
    (
        re.compile(rf"\b(left|right),? (?:but|and|with) no (left|right) {_THING}"),
        r"\1 \3, but no \2 \3",
    ),
    (
        re.compile(
            rf"\bno (left|right),? (?:but|and|with)(?: a)? ((?:\w+ )?)(?!\1)(left|right) {_THING}"
        ),
        r"no \1 \4, but \2\3 \4",
    ),
    (re.compile(r"\bfrom \d+(?:\.\d+)?(?: ?(?:mm|cm))? to (?=\d)"), "to "),
    (re.compile(r"(?<=\d),(?=\d ?(?:cm|mm)\b)"), "."),
    (re.compile(r"\bversus (?=\d[\d.]* ?(?:mm|cm))"), "and before "),
)
_LETTER_SIDE = re.compile(
    r"\b(?P<side>[rl])\.?(?= (?:sided|pleural|effusion|lung|upper|middle|lower|kidney|renal|adrenal"
    r"|hydro|pneumo|hemithorax|base|apex)\b)"
)


def plain_sentences(report: str) -> Iterator[str]:
    """Give every sentence of a report that is about its images."""
    for body in said_of_images(report):
        text = _ABBREVIATION.sub(r"\1", _with_whole_lines(body))
        for sentence in _SENTENCE.split(text):
            plain = _plain(" ".join(sentence.lower().split()).strip(" .;!-•*"))
            if plain:
                yield plain


def _plain(sentence: str) -> str:
    """Write sides and labels in one way."""
    for pattern, plainer in _PLAINER:
        sentence = pattern.sub(plainer, sentence)
    labelled = _LABEL.sub(r"\1 ", sentence)
    spelt = _LETTER_SIDE.sub(lambda m: "right" if m["side"] == "r" else "left", labelled)
    both = _BOTH_LETTERS.sub("bilateral", _BOTH_SIDES.sub("bilateral", spelt))
    return _OTHER_SIDE_FREE.sub("", both)


def _with_whole_lines(body: str) -> str:
    """Join the lines of a sentence that was broken; a line of a list stays by itself."""
    lines = [""]
    for line in map(str.strip, body.split("\n")):
        before = lines[-1]
        if not line and _NEGATES.search(before):
            continue  # "There is no", and a blank line
        if _ITEM.match(line) and (_HEADS_A_NEGATED_LIST.search(before)):
            lines[-1] = f"{before} {_ITEM.sub('', line)},"
            continue
        answered = _ANSWERED.search(before)
        goes_on = before and line and before[-1] not in ".!?;:" and not _ITEM.match(line)
        goes_on = goes_on and not answered
        if goes_on and (
            line[0].islower()
            or line[0].isdecimal()
            or _UNFINISHED.search(before)
            or len(before) >= _FULL_LINE
        ):
            lines[-1] = f"{before} {line}"
        else:
            lines.append(line)
    return "\n".join(lines)
