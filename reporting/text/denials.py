"""Sentences that only deny: they share one paragraph after all that a reader must look at.

The rule is narrow on purpose. A denial that it overlooks gets a line of its own, among the
positive findings; a positive finding that it took for a denial would be hidden.
"""

import re

_DENIAL = re.compile(
    r"(there (is|are) )?no\b(?! (longer|further|new|significant|interval|other|change))"
    r"|there is no evidence of\b"
    r"|(the )?[a-z -]+ (is|are) (of |within )?(normal|unremarkable|clear|intact)"
    r"( limits| [a-z]+| in [a-z]+)?$"
    r"|(the )?[a-z -]+ (is|are) not (enlarged|dilated|thickened)$"
)
# What may follow a denial and take it back, or presuppose what it seems to deny
_TURN = re.compile(
    r"\b(and|but|with|except|apart|aside|other|besides|unless|however|although|though|while|"
    r"longer|chang\w+|interval|exclude\w*|previous\w*|prior|known|progress\w*|increas\w+|"
    r"wors\w+|residual|recurr\w+|only|not? .*\bnot?)\b|[;:]"
)


def denies(sentence: str) -> bool:
    """Tell whether a sentence says only that something is absent or normal."""
    text = " ".join(sentence.lower().rstrip(".").split())
    if not _DENIAL.match(text) or _TURN.search(text):
        return False
    # "no effusion, pneumothorax or mass" is one list; what follows another comma may be a finding
    return "," not in text or " or " in f" {text.rsplit(',', 1)[1]}"
