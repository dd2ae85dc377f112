"""Senders that cost next to nothing: each a process of its own, with a plain socket.

A store is timed at both ends: at the sender from its first byte to its answer, at the receiver from
the moment when its last byte lies in the receiver's socket to the answer. What the sender itself
waited for a processor meanwhile is taken off the latter.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import UID, generate_uid
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from plugin.reception.association.pdata import C_STORE_RQ, PDU_HEADER, pdata

_ELEMENT = struct.Struct("<HHL")
_STATUS = struct.pack("<HHL", 0, 0x0900, 2)  # (0000,0900), Implicit VR Little Endian
_RELEASE = bytes.fromhex("05000000000400000000")  # PS3.8 9.3.6
_ACCEPTED = 0x02
_CONTEXT = 1
# Linux: time on the processor and time waited for one, in ns, of this process's one thread
_SCHEDULED = Path("/proc/self/schedstat")


@dataclass(frozen=True)
class Store:
    """One C-STORE: when it began, and what it took."""

    began: float
    """By time.monotonic, in seconds."""
    took_s: float
    """From its first byte to its answer."""
    answered_s: float
    """From its last byte to its answer."""
    waited_s: float
    """What the sender waited for a processor between its last byte and the answer."""

    @property
    def at_receiver_s(self) -> float:
        return max(0.0, self.answered_s - self.waited_s)


@dataclass(frozen=True)
class Slice:
    """An encoded data set whose UIDs can be replaced by others of the same length."""

    sop_class: str
    data: bytes
    uids: tuple[bytes, bytes, bytes]


def encoded(slices: Sequence[Dataset]) -> list[Slice]:
    """Encode the slices of a study as they travel."""
    made = []
    for one in slices:
        study, series, instance = (_fresh() for _ in range(3))
        one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID = (
            UID(uid.decode()) for uid in (study, series, instance)
        )
        stream = BytesIO()
        dcmwrite(stream, one, implicit_vr=False, little_endian=True)
        made.append(Slice(str(one.SOPClassUID), stream.getvalue(), (study, series, instance)))
    return made


def read_study(folder: Path) -> list[Slice]:
    """Read the files of a folder, encoded in Explicit VR Little Endian."""
    return encoded([_bare(dcmread(one)) for one in sorted(folder.iterdir())])


def send(
    port: int,
    studies: Sequence[Sequence[Slice]],
    ends: float,
    most: int | None = None,
    every_s: float = 0.0,
) -> list[Store]:
    """Send studies, one slice after another, none before the last one is acknowledged.

    Parameters
    ----------
    port : int
        Of the receiver at this host.
    studies : sequence of sequence of Slice
        Sent in turn, under new UIDs.
    ends : float
        When to stop, by time.monotonic.
    most : int, optional
        How many studies at most.
    every_s : float
        The least time from one slice to the next.
    """
    took: list[Store] = []
    count = 0
    while time.monotonic() < ends and (most is None or count < most):
        took += _send_study(port, studies[count % len(studies)], ends, every_s)
        count += 1
    return took


def _send_study(port: int, slices: Sequence[Slice], ends: float, every_s: float) -> Iterator[Store]:
    study, series = _fresh(), _fresh()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        longest = _associate(peer, slices[0].sop_class)
        for number, one in enumerate(slices, 1):
            if time.monotonic() > ends:
                break
            instance = _fresh()
            data = one.data
            for old, new in zip(one.uids, (study, series, instance), strict=True):
                data = data.replace(old, new)
            done = _store(peer, b"".join(_pdus(one.sop_class, instance, number, data, longest)))
            yield done
            time.sleep(max(0.0, done.began + every_s - time.monotonic()))
        peer.sendall(_RELEASE)
        _receive(peer)


def _store(peer: socket.socket, message: bytes) -> Store:
    began = time.monotonic()
    peer.sendall(message)
    sent, waited = time.monotonic(), _waited_ns()
    answer = _receive(peer)
    answered = time.monotonic()
    waited = _waited_ns() - waited
    at = answer.find(_STATUS) + len(_STATUS)
    if answer[at : at + 2] != b"\0\0":
        raise SystemExit(f"a slice was refused: {answer[at : at + 2].hex()}")
    return Store(began, answered - began, answered - sent, waited / 1e9)


def _associate(peer: socket.socket, sop_class: str) -> int:
    """Ask for an association; returns the longest PDU that the receiver takes, 0 for any."""
    asked = A_ASSOCIATE()
    asked.application_context_name = UID("1.2.840.10008.3.1.1.1")
    asked.calling_ae_title, asked.called_ae_title = "BENCH", "CTSCRIBE"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = UID("1.2.826.0.1.3680043.8.498.1")
    asked.user_information = [length, implementation]
    context = build_context(sop_class, "1.2.840.10008.1.2.1")
    context.context_id = _CONTEXT
    asked.presentation_context_definition_list = [context]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(asked)
    peer.sendall(request.encode())
    answer = _receive(peer)
    if answer[0] != _ACCEPTED:
        raise SystemExit(f"the association was not accepted: PDU of type {answer[0]}")
    accepted = A_ASSOCIATE_AC()
    accepted.decode(answer)
    assert accepted.user_information is not None
    return int(accepted.user_information.maximum_length or 0)


def _pdus(
    sop_class: str, instance: bytes, number: int, data: bytes, longest: int
) -> Iterator[bytes]:
    """Encode a C-STORE-RQ and its data set."""
    elements = (
        (0x0002, _padded(sop_class.encode())),
        (0x0100, struct.pack("<H", C_STORE_RQ)),
        (0x0110, struct.pack("<H", number)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 1)),
        (0x1000, _padded(instance)),
    )
    command = b"".join(_ELEMENT.pack(0, tag, len(value)) + value for tag, value in elements)
    length = _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(command))
    yield pdata(_CONTEXT, length + command, is_command=True, is_last=True)
    step = (longest or 1 << 17) - 6
    for start in range(0, len(data), step):
        piece, last = data[start : start + step], start + step >= len(data)
        yield pdata(_CONTEXT, piece, is_command=False, is_last=last)


def _receive(peer: socket.socket) -> bytes:
    """Receive one PDU."""
    head = _exactly(peer, PDU_HEADER.size)
    return head + _exactly(peer, PDU_HEADER.unpack(head)[1])


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = peer.recv(count, socket.MSG_WAITALL)
    if len(data) != count:
        raise SystemExit("the receiver closed the connection")
    return data


def _waited_ns() -> int:
    return int(_SCHEDULED.read_bytes().split()[1])


def _fresh() -> bytes:
    """A UID of one length, so that one can stand in another's place."""
    return str(generate_uid()).encode()[:54].rstrip(b".").ljust(54, b"1")


def _bare(one: Dataset) -> Dataset:
    """The data set without its file's head."""
    bare = Dataset()
    bare.update(one)
    return bare


def _padded(uid: bytes) -> bytes:
    return uid + b"\0" * (len(uid) % 2)
