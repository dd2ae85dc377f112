"""P-DATA-TF PDUs and the C-STORE commands in them (PS3.8 9.3.5 and annex E, PS3.7 9.3.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_io.errors import ProtocolViolation

P_DATA_TF = 0x04
PDU_HEADER = struct.Struct(">BxL")  # type, length of what follows
_PDV_HEADER = struct.Struct(">LBB")  # length of what follows it, context ID, control header
_COMMAND, _LAST = 0x01, 0x02  # bits of the message control header (PS3.8 E.2)
_ELEMENT = struct.Struct("<HHL")  # commands are encoded in Implicit VR Little Endian (PS3.7 6.3.1)

_SOP_CLASS_UID, _COMMAND_FIELD, _MESSAGE_ID, _ANSWERED_ID = 0x0002, 0x0100, 0x0110, 0x0120
_DATA_SET_TYPE, _STATUS, _SOP_INSTANCE_UID = 0x0800, 0x0900, 0x1000
_MOVE_ORIGINATOR, _MOVE_ORIGINATOR_ID = 0x1030, 0x1031
# Our plugin for Orthanc gives this title, and the number of CT instances of the whole study
WHOLE = "CTSCRIBE_WHOLE"
C_STORE_RQ, _C_STORE_RSP, _NO_DATA_SET = 0x0001, 0x8001, 0x0101


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a command or of a data set: one presentation data value (PS3.8 9.3.5.1)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


@dataclass(frozen=True)
class Command:
    """A command set, decoded as far as the receiver looks at it (PS3.7 9.3.1.1 and E.1).

    `announced` is how many CT instances the study has, where the sender is our plugin for Orthanc.
    """

    context_id: int
    field: int
    has_data_set: bool
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    announced: int | None = None


def fragments(body: memoryview) -> Iterator[Fragment]:
    """Yield what a P-DATA-TF PDU holds after its first six bytes.

    Raises
    ------
    ProtocolViolation
        A length in it is wrong.
    """
    position = 0
    while position < len(body):
        if len(body) - position < _PDV_HEADER.size:
            raise ProtocolViolation("a PDU ends inside the header of a presentation data value")
        length, context_id, control = _PDV_HEADER.unpack_from(body, position)
        end = position + 4 + length
        if length < 2 or end > len(body):
            raise ProtocolViolation(f"a presentation data value claims {length} bytes")
        data = body[position + _PDV_HEADER.size : end]
        yield Fragment(context_id, bool(control & _COMMAND), bool(control & _LAST), data)
        position = end


def pdata(context_id: int, data: bytes | memoryview, *, is_command: bool, is_last: bool) -> bytes:
    """Encode a P-DATA-TF PDU of one fragment.

    Parameters
    ----------
    context_id : int
        Of the presentation context.
    data : bytes
        The fragment.
    is_command : bool
        A command, not a data set.
    is_last : bool
        The last fragment of it.
    """
    control = _COMMAND * is_command | _LAST * is_last
    item = _PDV_HEADER.pack(len(data) + 2, context_id, control) + data
    return PDU_HEADER.pack(P_DATA_TF, len(item)) + item


def read_command(context_id: int, encoded: bytes) -> Command:
    """Decode a command set.

    Raises
    ------
    ProtocolViolation
        It is none.
    """
    values = dict(_elements(encoded))
    return Command(
        context_id,
        field=_number(values, _COMMAND_FIELD),
        has_data_set=_number(values, _DATA_SET_TYPE) != _NO_DATA_SET,
        message_id=_number(values, _MESSAGE_ID),
        sop_class_uid=_uid(values, _SOP_CLASS_UID),
        sop_instance_uid=_uid(values, _SOP_INSTANCE_UID),
        announced=(
            _number(values, _MOVE_ORIGINATOR_ID)
            if _uid(values, _MOVE_ORIGINATOR) == WHOLE
            else None
        ),
    )


def store_response(request: Command, status: int) -> bytes:
    """Encode the PDU of a C-STORE-RSP (PS3.7 9.3.1.2)."""
    command = b"".join(
        _ELEMENT.pack(0, number, len(value)) + value
        for number, value in (
            (_SOP_CLASS_UID, _padded(request.sop_class_uid)),
            (_COMMAND_FIELD, _us(_C_STORE_RSP)),
            (_ANSWERED_ID, _us(request.message_id)),
            (_DATA_SET_TYPE, _us(_NO_DATA_SET)),
            (_STATUS, _us(status)),
            (_SOP_INSTANCE_UID, _padded(request.sop_instance_uid)),
        )
    )
    group_length = _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(command))
    return pdata(request.context_id, group_length + command, is_command=True, is_last=True)


def _elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(command):
        start = position + _ELEMENT.size
        if start > len(command):
            raise ProtocolViolation("a command set is truncated")
        group, number, length = _ELEMENT.unpack_from(command, position)
        position = start + length
        if group != 0 or position > len(command):
            raise ProtocolViolation("what should be a command set is none")
        yield number, command[start:position]


def _number(values: dict[int, bytes], number: int) -> int:
    return int.from_bytes(values.get(number, b"")[:2], "little")


def _uid(values: dict[int, bytes], number: int) -> str:
    return values.get(number, b"").decode("ascii", "replace").strip("\0 ")


def _us(number: int) -> bytes:
    return struct.pack("<H", number)


def _padded(uid: str) -> bytes:
    encoded = uid.encode("ascii", "replace")
    return encoded + b"\0" * (len(encoded) % 2)
