"""What an HL7 v2 message tells of a study: its number, how urgent it is, whether it is reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dicom_io.hl7_messages import Message, Segment
from plugin.rules.urgency import Urgency, urgency_named

# Orders (HL7 v2.5.1 chapter 4) and results (chapter 7)
ORDERS, RESULTS = ("ORM", "OMI", "OMG"), ("ORU",)
# Table 0119: what is cancelled or discontinued is urgent no more
_ENDED = ("CA", "OC", "CR", "DC", "OD", "DR")
# Table 0123: final, and corrected
_FINAL = ("F", "C")


@dataclass(frozen=True)
class Told:
    """What one order of a message tells."""

    accession_number: str
    study_instance_uid: str | None = None
    urgency: Urgency | None = None
    reported: bool = False


def told_by(message: Message, accession_fields: Sequence[str]) -> list[Told]:
    """Return what a message tells of studies; orders without a number are left out.

    Parameters
    ----------
    message : Message
        Of a type in `ORDERS` or `RESULTS`.
    accession_fields : sequence of str
        Where the accession number stands, such as "OBR-18"; the first that has one counts.
    """
    found = []
    for group in _groups(message):
        number = next((n for one in accession_fields if (n := _field(group, one))), "")
        if not number:
            continue
        uid = _field(group, "ZDS-1") or _field(group, "IPC-3") or None
        if message.kind in RESULTS:
            final = _field(group, "OBR-25").upper() in _FINAL
            found.append(Told(number, uid, reported=final))
        else:
            found.append(Told(number, uid, _urgency(group)))
    return found


def _groups(message: Message) -> Iterator[list[Segment]]:
    """The segments of each order: an ORC begins one, an OBR too unless an ORC just did."""
    group: list[Segment] = []
    for one in message.segments:
        begins = one.kind == "ORC" or (one.kind == "OBR" and any(s.kind == "OBR" for s in group))
        if begins and any(s.kind in ("ORC", "OBR") for s in group):
            yield group
            group = []
        group.append(one)
    yield group


def _urgency(group: Sequence[Segment]) -> Urgency | None:
    if _field(group, "ORC-1").upper() in _ENDED:
        return None
    # TQ1-9; before v2.5 the sixth component of ORC-7 and OBR-27, and OBR-5
    said = (
        _field(group, "TQ1-9"),
        _component(group, "ORC", 7, 6),
        _component(group, "OBR", 27, 6),
        _field(group, "OBR-5"),
    )
    known = (urgency_named(word) for word in said if word)
    return min((one for one in known if one is not None), default=None)


def _field(group: Sequence[Segment], place: str) -> str:
    kind, _, number = place.partition("-")
    return next((v for one in group if one.kind == kind and (v := one.first(int(number)))), "")


def _component(group: Sequence[Segment], kind: str, number: int, component: int) -> str:
    for one in group:
        if one.kind == kind and len(parts := one.components(number)) >= component:
            return one.separators.unescaped(parts[component - 1]).strip()
    return ""
