"""Whom an HL7 v2 message names: patient, family, insured and staff, with numbers and addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dicom_io.hl7_messages import Segment
from training.site.deidentify.known import KnownValues

Places = Mapping[str, tuple[int, ...]]

# Fields by their data types (HL7 v2.5.1, chapter 2A; PRT: v2.7). XPN: family^given
_FAMILY: Places = {
    "PID": (5, 6, 9),
    "NK1": (2, 30),
    "GT1": (3, 4, 42),
    "IN1": (6, 16),
    "IN2": (40, 49),
}
# XCN: id^family^given
_STAFF: Places = {
    "PD1": (4,),
    "PV1": (7, 8, 9, 17, 52),
    "PV2": (13,),
    "ORC": (10, 11, 12, 19),
    "OBR": (10, 16, 28),
    "OBX": (16, 25),
    "ROL": (4,),
    "PRT": (5,),
    "TXA": (5, 9, 10, 11, 22),
    "EVN": (5,),
    "DG1": (16,),
    "PR1": (8, 11, 12),
}
# NDL: id&family&given^…
_READERS: Places = {"OBR": (32, 33, 34, 35)}
_NUMBERS: Places = {
    "PID": (2, 3, 4, 18, 19, 20, 21),
    "NK1": (12, 33, 37),
    "GT1": (2, 12, 19),
    "IN1": (2, 36, 49),
    "IN2": (1, 2, 6, 8),
    "PV1": (5, 19, 50),
    "ORC": (2, 3, 4, 8),
    "OBR": (2, 3, 18, 19, 20, 21),
}
# XTN: number or, since 2.3, ^use^equipment^mail^country^area^number
_PHONES: Places = {
    "PID": (13, 14, 40),
    "NK1": (5, 6, 7, 31, 32),
    "GT1": (6, 7, 18),
    "IN1": (7,),
    "ORC": (14, 23),
    "OBR": (17,),
    "PRT": (15,),
}
# XAD and PL, of which every part is a place
_ADDRESSES: Places = {
    "PID": (11, 23),
    "NK1": (4, 32),
    "GT1": (5, 17, 21),
    "IN1": (4, 5, 19),
    "PV1": (3, 6, 39, 42),
    "ORC": (13, 21, 22, 24),
    "PRT": (8, 9, 14),
    "MSH": (4,),
}
_DATES: Places = {
    "PID": (7, 29),
    "NK1": (16,),
    "GT1": (8,),
    "IN1": (18,),
    "PV1": (44, 45),
    "OBR": (7, 8, 14, 22),
}
_ADDRESS_PARTS = 5
"""Street, designation, city, state, postal code; what follows are codes of types and countries."""

_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})-(\d{1,2})")


def identity(segments: Sequence[Segment], more_staff: Sequence[str] = ()) -> KnownValues:
    """Collect what a message says of persons.

    Parameters
    ----------
    segments : sequence of Segment
        Of one message.
    more_staff : sequence of str
        Further fields that name staff, such as "ZDS-2", whatever their type.
    """
    staff = {*_names(segments, _STAFF, 1), *_readers(segments), *_untyped(segments, more_staff)}
    phones = {number for parts in _fields(segments, _PHONES) for number in _phone(parts)}
    return KnownValues().plus(
        names=sorted(staff | set(_names(segments, _FAMILY, 0))),
        staff=sorted(staff),
        numbers=sorted(phones | {parts[0] for parts in _fields(segments, _NUMBERS)}),
        dates=sorted(parts[0] for parts in _fields(segments, _DATES)),
        places=sorted({p for parts in _fields(segments, _ADDRESSES) for p in _address(parts)}),
    )


def is_field(name: str) -> bool:
    """Whether it is the name of a field, such as "ZDS-2"."""
    return _FIELD.fullmatch(name) is not None


def _fields(segments: Sequence[Segment], places: Places) -> Iterator[list[str]]:
    """The components of every repetition of the fields, as text."""
    for segment in segments:
        for number in places.get(segment.kind, ()):
            for value in segment.repetitions(number):
                yield segment.parts(value)


def _names(segments: Sequence[Segment], places: Places, first: int) -> Iterator[str]:
    """Names as DICOM writes them: family^given^middle."""
    for parts in _fields(segments, places):
        if name := _name(parts[first : first + 3]):
            yield name


def _readers(segments: Sequence[Segment]) -> Iterator[str]:
    for segment in segments:
        for number in _READERS.get(segment.kind, ()):
            for value in segment.repetitions(number):
                person = value.partition(segment.separators.component)[0]
                parts = person.split(segment.separators.subcomponent)
                # some send a bare name, or one as XCN has it
                parts = parts if len(parts) > 1 else ["", *segment.parts(value)]
                yield _name([segment.separators.unescaped(part) for part in parts[1:4]])


def _untyped(segments: Sequence[Segment], fields: Sequence[str]) -> Iterator[str]:
    """Names in fields whose type nobody stated: components of letters alone."""
    for match in filter(None, map(_FIELD.fullmatch, fields)):
        for parts in _fields(segments, {match[1]: (int(match[2]),)}):
            words = [part for part in parts if part and not any(map(str.isdigit, part))]
            yield _name(words[:3])


def _name(parts: Sequence[str]) -> str:
    plain = [part.partition("&")[0].strip() for part in parts]
    return "^".join(part for part in plain if part)


def _phone(parts: Sequence[str]) -> Iterator[str]:
    padded = [*parts, *[""] * 12]
    yield padded[0]
    yield padded[3]
    yield "".join(padded[5:7])
    yield padded[11]


def _address(parts: Sequence[str]) -> Iterator[str]:
    for part in parts[:_ADDRESS_PARTS]:
        yield from part.split("&")
