"""What an archive's refusal means: how often it is worth trying before a person must look.

The one table of what is final and what may pass. A status that is not listed is final.
"""

from __future__ import annotations

from dataclasses import dataclass

from dicom_io.errors import AssociationRejected, PeerUnreachable


@dataclass(frozen=True)
class Rule:
    """What to expect after a status.

    Parameters
    ----------
    tries : int or None
        How often to send in all; None: until the archive takes it.
    why : str
        The clause that defines the status, and what archives mean by it.
    """

    tries: int | None
    why: str


FINAL = Rule(1, "the archive answers and refuses: only a person can change that")
# An archive that restarts, or a user whose rights are being changed, is back within these tries:
# with the pauses of delivery three take half a minute, five take two and a half, ten take an hour
FEW, SOME, MANY = 3, 5, 10

DIMSE = {
    range(0xA700, 0xA800): Rule(None, "PS3.4 B.2.3: out of resources"),
    range(0xA900, 0xAA00): Rule(1, "PS3.4 B.2.3: data set does not match SOP class"),
    range(0xC000, 0xC001): Rule(FEW, "PS3.4 B.2.3: cannot understand; also a locked database"),
    range(0x0110, 0x0111): Rule(SOME, "PS3.7 C.5.7: processing failure; may pass"),
    range(0x0122, 0x0123): Rule(1, "PS3.7 C.5.8: SOP class not supported"),
    range(0x0124, 0x0125): Rule(FEW, "PS3.7 C.5.13: not authorised; rights may be on their way"),
    range(0x0213, 0x0214): Rule(None, "PS3.7 C.5.14: resource limitation"),
}
HTTP = {
    range(401, 402): Rule(FEW, "RFC 9110 15.5.2: unauthorised; a token may have expired"),
    range(403, 404): Rule(FEW, "RFC 9110 15.5.4: forbidden; rights may be on their way"),
    range(404, 405): Rule(SOME, "RFC 9110 15.5.5: not found; an index may be behind"),
    range(408, 409): Rule(None, "RFC 9110 15.5.9: request timeout"),
    range(423, 424): Rule(SOME, "RFC 4918 11.3: locked"),
    range(425, 426): Rule(None, "RFC 8470 5.2: too early"),
    range(429, 430): Rule(None, "RFC 6585 4: too many requests"),
    range(500, 501): Rule(MANY, "RFC 9110 15.6.1: internal error; may be this object's"),
    range(501, 502): Rule(1, "RFC 9110 15.6.2: not implemented"),
    range(502, 600): Rule(None, "RFC 9110 15.6: what is behind a proxy is down"),
}
HL7 = {
    "AE": Rule(SOME, "HL7 v2.5.1 2.9.2.2: application error; the receiver may be starting"),
    "CE": Rule(SOME, "HL7 v2.5.1 2.9.3.1: accept error"),
}
# PS3.7 C.5.7 and RFC 9110 15.5.10: it holds the object already. Looking for it settles the matter
DUPLICATE, CONFLICT = 0x0111, 409
# PS3.8 9.3.4: a title that is not known yet, or an archive that has just restarted
REJECTED_FOR_GOOD = FEW


def rule_of(status: int, table: dict[range, Rule]) -> Rule:
    return next((rule for codes, rule in table.items() if status in codes), FINAL)


def dimse_error(message: str, status: int) -> PeerUnreachable | AssociationRejected:
    """Make the error of a DIMSE status, or of a STOW-RS failure reason (PS3.18 I.2.2)."""
    tries = rule_of(status, DIMSE).tries
    if tries is None:
        return PeerUnreachable(f"{message} (0x{status:04X})")
    return AssociationRejected(f"{message} (0x{status:04X})", status, tries)


def http_error(peer: str, status: int) -> PeerUnreachable | AssociationRejected:
    """Make the error of an HTTP status; a server's own faults count as no answer."""
    tries = rule_of(status, HTTP).tries
    if tries is None or status >= 500:
        return PeerUnreachable(f"{peer} answers {status}", tries)
    return AssociationRejected(f"{peer} refuses with {status}", status, tries)


def hl7_error(peer: str, code: str) -> AssociationRejected:
    """Make the error of an acknowledgment code (HL7 table 0008); a rejection is final."""
    rule = HL7.get(code, FINAL)
    return AssociationRejected(f"{peer} answers {code or 'without a code'}", tries=rule.tries or 1)
