"""P-DATA-TF PDUs and commands, compared with pynetdicom's."""

from __future__ import annotations

import struct

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_STORE_RQ as StoreMessage
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF

from dicom_io.errors import ProtocolViolation
from plugin.reception.association.pdata import (
    C_STORE_RQ,
    PDU_HEADER,
    WHOLE,
    Command,
    fragments,
    pdata,
    read_command,
    store_response,
)

REQUEST = Command(3, C_STORE_RQ, True, 7, str(CTImageStorage), "1.2.3.4")


def body(pdu: bytes) -> memoryview:
    return memoryview(pdu)[PDU_HEADER.size :]


def item(length: int, data: bytes) -> bytes:
    return struct.pack(">L", length) + data


@pytest.mark.parametrize("is_command", [True, False])
@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("data", [b"", b"a", b"abc", bytes(70_000)], ids=len)
def test_a_fragment_is_read_as_it_was_written(data, is_command, is_last):
    pdu = pdata(5, data, is_command=is_command, is_last=is_last)
    (fragment,) = fragments(body(pdu))
    assert (fragment.context_id, fragment.is_command, fragment.is_last, fragment.data) == (
        5,
        is_command,
        is_last,
        data,
    )


def test_pynetdicom_reads_the_same():
    decoded = P_DATA_TF()
    decoded.decode(pdata(5, b"abc", is_command=False, is_last=True))
    assert decoded.to_primitive().presentation_data_value_list == [(5, b"\x02abc")]


def test_a_pdu_may_hold_several_fragments_or_none():
    two = item(4, b"\x01\x00ab") + item(3, b"\x01\x02c")
    assert [bytes(one.data) for one in fragments(memoryview(two))] == [b"ab", b"c"]
    assert list(fragments(memoryview(b""))) == []


@pytest.mark.parametrize(
    "broken",
    [
        item(0, b"\x01\x03"),
        item(1, b"\x01\x03"),
        item(9, b"\x01\x03ab"),
        item(2**32 - 1, b"\x01\x03ab"),
        b"\0\0\0",
    ],
    ids=["length 0", "length 1", "longer than the PDU", "four gigabytes", "no length"],
)
def test_wrong_lengths_are_refused(broken):
    with pytest.raises(ProtocolViolation):
        list(fragments(memoryview(broken)))


def test_pynetdicoms_request_is_understood():
    request = C_STORE()
    request.MessageID, request.Priority = 7, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    message = StoreMessage()
    message.primitive_to_message(request)
    (primitive,) = message.encode_msg(3, 16382)
    ((context_id, data),) = primitive.presentation_data_value_list
    assert read_command(context_id, data[1:]) == Command(
        3, C_STORE_RQ, False, 7, str(CTImageStorage), "1.2.3.4"
    )


@pytest.mark.parametrize(("title", "announced"), [(WHOLE, 300), ("PACS", None)])
def test_only_our_plugin_announces_a_number_of_slices(title, announced):
    request = C_STORE()
    request.MessageID, request.Priority = 7, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    request.MoveOriginatorApplicationEntityTitle = title
    request.MoveOriginatorMessageID = 300
    message = StoreMessage()
    message.primitive_to_message(request)
    (primitive,) = message.encode_msg(3, 16382)
    ((context_id, data),) = primitive.presentation_data_value_list
    assert read_command(context_id, data[1:]).announced == announced


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xB000, 0xC000])
def test_pynetdicom_understands_the_response(status):
    decoded = P_DATA_TF()
    decoded.decode(store_response(REQUEST, status))
    message = DIMSEMessage()
    assert message.decode_msg(decoded.to_primitive())
    answer = message.message_to_primitive()
    assert (answer.Status, answer.MessageIDBeingRespondedTo) == (status, 7)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (
        CTImageStorage,
        "1.2.3.4",
    )


@pytest.mark.parametrize("noise", [b"\0", bytes(7), b"\x08\0\x16\0\0\0\0\0", b"\0\0\0\0\xff\0\0\0"])
def test_noise_is_no_command(noise):
    with pytest.raises(ProtocolViolation):
        read_command(1, noise)
