"""Reports from HL7 v2 result messages (ORU), as an interface engine writes them into a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hl7

from dicom_io.errors import UnusableData
from dicom_io.hl7_messages import Message, Segment, messages_in
from training.data.sections import kind_of_heading
from training.site.reports.hl7_identity import identity, is_field
from training.site.reports.reports import Part, SignedReport, Status, text_of

ACCESSION_FIELD = "OBR-3"

_TEXT_TYPES = ("TX", "FT", "ST")
# Observation ID suffixes (HL7 v2.5.1, 7.2.4)
_SUFFIXES = {
    "GDT": "Findings",
    "IMP": "Impression",
    "ADT": "Addendum",
    "REC": "Recommendation",
    "TCM": "Technique",
}
_VOID = {"D", "W", "X"}


@dataclass
class _Order:
    """One OBR with what belongs to it."""

    request: Segment
    control: Segment | None
    observations: list[Segment] = field(default_factory=list)


def read_messages(
    folder: Path, accession_field: str = ACCESSION_FIELD, staff: Sequence[str] = ()
) -> Iterator[SignedReport]:
    """Read every ORU message in the files of a folder, batches included.

    Files that hold no HL7 message, and messages of other types, are passed over.

    Parameters
    ----------
    folder : Path
        Searched recursively.
    accession_field : str
        Where the accession number stands, such as "OBR-3" (the filler order number), "OBR-18" or
        "ORC-3". An empty OBR-3 is looked up in ORC-3, which is the same number.
    staff : sequence of str
        Fields that name staff beside those of the standard, such as "ZDS-2".

    Raises
    ------
    UnusableData
        A message cannot be read. It is named by the place of its file in the order of their names,
        for a name may tell whose report it is.
    """
    place = re.fullmatch(r"(OBR|ORC|PID|PV1)-(\d{1,2})", accession_field)
    if not place:
        raise UnusableData(f"{accession_field!r} is no field of HL7 such as OBR-3 or ORC-3")
    if odd := [field for field in staff if not is_field(field)]:
        raise UnusableData(f"{odd[0]!r} is no field of HL7 such as ZDS-2")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for count, path in enumerate(files, start=1):
        try:
            for message in messages_in(path.read_bytes()):
                yield from _reports(message, place[1], int(place[2]), staff)
        except (hl7.HL7Exception, LookupError, ValueError) as error:
            raise UnusableData(
                f"file {count} of {len(files)} of the HL7 folder, in the order of their names, "
                f"cannot be read ({type(error).__name__})"
            ) from None


def _reports(
    message: Message, segment: str, number: int, staff: Sequence[str]
) -> Iterator[SignedReport]:
    if message.kind != "ORU":
        return
    first = {one.kind: one for one in reversed(message.segments)}
    patients = tuple(sorted({one for segment in message.segments for one in _patient_ids(segment)}))
    for order in _orders(message):
        places = {**first, "OBR": order.request, "ORC": order.control}
        status = _status(order)
        parts = tuple(_parts(order.observations))
        text = text_of(parts)
        accession = _value(places.get(segment), number)
        if not accession and (segment, number) == ("OBR", 3):
            accession = _value(order.control, 3)
        if accession and (text or parts or status == "withdrawn"):
            yield SignedReport(
                accession_number=accession,
                text=text,
                status=status,
                addendum=_adds(parts),
                written=_moment(first["MSH"].first(7) or order.request.first(22)),
                patient_ids=patients,
                parts=parts,
                known=identity(message.segments, staff),
            )


def _patient_ids(segment: Segment) -> Iterator[str]:
    """The numbers of PID-3, without the authority that gave them."""
    if segment.kind == "PID":
        yield from filter(None, (segment.parts(value)[0] for value in segment.repetitions(3)))


def _orders(message: Message) -> Iterator[_Order]:
    order, control = None, None
    for segment in message.segments:
        if segment.kind == "ORC":
            control = segment
        elif segment.kind == "OBR":
            if order:
                yield order
            order, control = _Order(segment, control), None
        elif segment.kind == "OBX" and order:
            order.observations.append(segment)
    if order:
        yield order


def _value(segment: Segment | None, number: int) -> str:
    return segment.first(number) if segment else ""


def _moment(written: str) -> str:
    """Digits of a time stamp, without fraction and time zone."""
    return "".join(re.findall(r"^\d{4,14}", written))


def _status(order: _Order) -> Status:
    """What OBR-25 and OBX-11 say (tables 0123 and 0085); signed only where they agree."""
    request = order.request.first(25)
    stated = {one.first(11) or request for one in order.observations if _is_text(one)}
    if request == "X" or (stated and stated <= _VOID and request != "C"):
        return "withdrawn"
    if request == "C" and stated and stated <= _VOID:
        return "corrected"  # it only takes something away
    stated -= _VOID
    if request not in ("", "F", "C") or not stated or not stated <= {"F", "C", "U"}:
        return "preliminary"
    return "corrected" if "C" in stated | {request} else "final"


def _parts(observations: Sequence[Segment]) -> Iterator[Part]:
    """Read the text observations, each with its heading; deleted ones say what they delete."""
    for observation in observations:
        if not _is_text(observation):
            continue
        unescaped = observation.separators.unescaped
        lines = [unescaped(line) for line in observation.repetitions(5) or [""]]
        name = "|".join((*observation.components(3)[:1], observation.first(4)))
        deleted = observation.first(11) in _VOID
        yield Part(observation.first(1), name, _heading(observation), "\n".join(lines), deleted)


def _adds(parts: Sequence[Part]) -> bool:
    """Whether all of it is an addendum."""
    held = [part for part in parts if not part.deleted]
    return bool(held) and all(kind_of_heading(one.heading) == "addendum" for one in held)


def _is_text(observation: Segment) -> bool:
    return observation.first(2) in _TEXT_TYPES


def _heading(observation: Segment) -> str:
    """The section of an observation: the suffix of its identifier, or its name if it is one."""
    identifier, *names = observation.components(3)
    for suffix in identifier.split(observation.separators.subcomponent)[1:]:
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
    headings = (n for n in (identifier, *names[:1]) if kind_of_heading(n) not in (None, "report"))
    return next(headings, "")
