"""C-STORE requests in every form the wire allows, and some that it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu import A_RELEASE_RP, P_DATA_TF

from dicom_io.archives.association import paced
from plugin.reception.association.patient_socket import LARGEST_PDU
from plugin.reception.association.pdata import PDU_HEADER, Command, pdata
from plugin.reception.association.upper_layer import SteadyTimer, StoreProvider
from plugin.reception.receiver import running_receiver
from plugin.state.completeness import Patience
from plugin.state.database import open_database, session_factory
from plugin.state.files.spool import Spool, split_file
from tests.plugin.intake_objects import association, encoded, incoming, make_slice, new_uid
from tests.waiting import eventually

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))
C_FIND_RQ, C_CANCEL_RQ = b"\x20\x00", b"\xff\x0f"


def command_set(uid: str, field: bytes = b"\x01\x00", *, data_set: bool = True) -> bytes:
    """A request in Implicit VR Little Endian (PS3.7 6.3.1)."""
    elements = b"".join(
        b"\0\0" + number + len(value).to_bytes(4, "little") + value
        for number, value in (
            (b"\x02\x00", f"{CTImageStorage}\0".encode()),
            (b"\x00\x01", field),
            (b"\x10\x01", b"\x07\x00"),
            (b"\x00\x07", b"\x00\x00"),
            (b"\x00\x08", b"\x00\x00" if data_set else b"\x01\x01"),
            (b"\x00\x10", uid.encode() + b"\0" * (len(uid) % 2)),
        )
    )
    return b"\0\0\0\0\x04\0\0\0" + len(elements).to_bytes(4, "little") + elements


def fragment(context_id: int, data: bytes, control: int) -> bytes:
    """One presentation data value; control 1 is a command, 2 the last (PS3.8 E.2)."""
    return (len(data) + 2).to_bytes(4, "big") + bytes([context_id, control]) + data


def pdu(*items: bytes) -> bytes:
    return PDU_HEADER.pack(4, sum(map(len, items))) + b"".join(items)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def data_fragments(data: bytes, size: int, context_id: int = 1) -> list[bytes]:
    *first, last = pieces(data, size)
    return [fragment(context_id, one, 0) for one in first] + [fragment(context_id, last, 2)]


@pytest.fixture
def port(tmp_path: Path, spool: Spool) -> Iterator[int]:
    engine = open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}")
    with running_receiver(session_factory(engine), spool, patience=PATIENCE) as port:
        yield port
    assert incoming(spool) == []
    engine.dispose()


@pytest.fixture
def peer(port: int) -> Iterator[Association]:
    """A peer whose messages the test writes itself."""
    with association(port) as peer:
        peer._reactor_checkpoint.clear()
        yield peer
        peer._reactor_checkpoint.set()


def say(peer: Association, *pdus: bytes) -> None:
    socket: Any = peer.dul.socket
    for one in pdus:
        socket.socket.sendall(one)


def status(peer: Association) -> int:
    _, answer = peer.dimse.get_msg(block=True)
    assert answer is not None, "no answer"
    return int(answer.Status)


def aborted(peer: Association) -> bool:
    peer._reactor_checkpoint.set()
    return eventually(lambda: peer.is_aborted)


def kept(spool: Spool) -> list[bytes]:
    files = [spool.absolute(path).read_bytes() for path in spool.instance_paths()]
    return [bytes(split_file(file)[0]) for file in files]


@pytest.fixture
def ct() -> Any:
    return make_slice(new_uid())


def test_command_and_data_set_may_share_a_pdu(peer, spool, ct):
    command = fragment(1, command_set(ct.SOPInstanceUID), 3)
    say(peer, pdu(command, *data_fragments(encoded(ct), 1000)))
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]


@pytest.mark.parametrize("size", [1, 3, 101])
def test_a_data_set_may_come_in_pieces_of_any_size(peer, spool, ct, size):
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
    say(peer, *map(pdu, data_fragments(encoded(ct), size)))
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]


def test_empty_fragments_and_empty_pdus_change_nothing(peer, spool, ct):
    say(peer, pdu(), pdu(fragment(1, b"", 1)), pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
    say(peer, pdu(fragment(1, b"", 0)), pdu(), pdu(fragment(1, encoded(ct), 0)))
    say(peer, pdu(fragment(1, b"", 2)))
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]


def test_a_command_may_come_in_pieces(peer, spool, ct):
    *first, last = pieces(command_set(ct.SOPInstanceUID), 11)
    say(peer, *(pdu(fragment(1, one, 1)) for one in first), pdu(fragment(1, last, 3)))
    say(peer, pdu(fragment(1, encoded(ct), 2)))
    assert status(peer) == 0x0000


def test_a_peer_may_pause_anywhere(peer, spool, ct):
    whole = pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)) + pdu(fragment(1, encoded(ct), 2))
    for one in pieces(whole, len(whole) // 5):
        say(peer, one)
        time.sleep(0.05)
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]


def test_a_pdu_longer_than_announced_is_taken(peer, spool, ct):
    ct.PixelData = bytes(300_000)
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
    say(peer, pdu(fragment(1, encoded(ct), 2)))
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]


def test_a_large_object_is_written_in_blocks(peer, spool, ct):
    ct.PixelData = bytes(range(256)) * 20_000
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
    say(peer, *map(pdu, data_fragments(encoded(ct), 100_001)))
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]


def test_a_store_without_a_data_set_is_refused(peer, spool, ct):
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID, data_set=False), 3)))
    assert status(peer) == 0xA900
    assert kept(spool) == []


def test_an_object_that_is_refused_is_read_to_its_end(peer, spool, ct):
    spool.floor_bytes = 2**62
    for expected in (0xA700, 0x0000):
        say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
        say(peer, *map(pdu, data_fragments(encoded(ct), 100)))
        assert status(peer) == expected
        spool.floor_bytes = 0


@pytest.mark.parametrize(
    "wrong",
    [
        [b"\0\0\0\0\x01\x03"],
        [b"\0\0\0\x01\x01\x03"],
        [fragment(99, command_set("1.2"), 3)],
        [fragment(1, b"data", 2)],
        [fragment(1, command_set("1.2"), 3), fragment(3, b"data", 2)],
        [fragment(1, command_set("1.2"), 3), fragment(1, command_set("1.2"), 3)],
        [fragment(1, b"no command", 3)],
        [fragment(1, bytes(1000), 1)] * 70,
    ],
    ids=[
        "fragment of length 0",
        "fragment of length 1",
        "context that was not accepted",
        "data without a command",
        "data in another context",
        "command inside a data set",
        "noise",
        "endless command",
    ],
)
def test_what_breaks_the_protocol_ends_the_association(peer, spool, wrong):
    say(peer, pdu(*wrong))
    assert aborted(peer)
    assert kept(spool) == []


def test_a_pdu_that_is_too_long_ends_the_association(peer):
    say(peer, PDU_HEADER.pack(4, LARGEST_PDU + 1))
    assert aborted(peer)


def test_an_object_that_breaks_off_leaves_nothing(peer, spool, ct):
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
    say(peer, pdu(fragment(1, encoded(ct)[:-1], 0)))
    assert eventually(lambda: incoming(spool))
    peer._reactor_checkpoint.set()
    peer.abort()
    assert eventually(lambda: not incoming(spool))
    assert kept(spool) == []


def test_a_receiver_that_stops_amid_an_object_leaves_nothing(tmp_path, spool, ct):
    engine = open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}")
    with ExitStack() as peers:
        with running_receiver(session_factory(engine), spool, patience=PATIENCE) as port:
            peer = peers.enter_context(association(port))
            say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3)))
            assert eventually(lambda: incoming(spool))
        assert eventually(lambda: not incoming(spool))
    engine.dispose()


def test_a_release_right_after_the_last_fragment_is_answered(peer, spool, ct):
    release, answers = bytes([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]), []
    peer.bind(evt.EVT_PDU_RECV, lambda event: answers.append(type(event.pdu)))
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3), fragment(1, encoded(ct), 2)))
    say(peer, release)
    assert status(peer) == 0x0000
    assert kept(spool) == [encoded(ct)]
    # The peer's own state machine did not ask for the release, and aborts when it is answered
    assert aborted(peer)
    assert answers == [P_DATA_TF, A_RELEASE_RP]


def test_a_cancel_between_objects_is_ignored(peer, spool, ct):
    say(peer, pdu(fragment(1, command_set("1.2", C_CANCEL_RQ, data_set=False), 3)))
    say(peer, pdu(fragment(1, command_set(ct.SOPInstanceUID), 3), fragment(1, encoded(ct), 2)))
    assert status(peer) == 0x0000


def test_echoes_between_objects_are_answered(port, spool):
    ae = AE("SENDER")
    contexts = [build_context(CTImageStorage), build_context("1.2.840.10008.1.1")]
    peer = paced(ae.associate("127.0.0.1", port, contexts=contexts))
    for _ in range(3):
        assert peer.send_c_store(make_slice(new_uid())).Status == 0x0000
        assert peer.send_c_echo().Status == 0x0000
    peer.release()
    assert len(kept(spool)) == 3


class Recorder:
    """A store that only listens."""

    def __init__(self) -> None:
        self.data = b""
        self.request: Command | None = None

    def begin(self, _assoc: Any, request: Command) -> Recorder:
        self.request = request
        return self

    def write(self, data: bytearray) -> None:
        self.data += data

    def finish(self) -> int:
        return 0

    def discard(self) -> None:
        raise AssertionError("nothing broke off")


@st.composite
def messages(draw: st.DrawFn, field: bytes) -> list[bytes]:
    """A request in random fragments, which are spread over PDUs at random."""
    data = draw(st.binary(min_size=1, max_size=200))
    items = [
        fragment(1, one, is_command | (2 if position == len(parts) - 1 else 0))
        for is_command, parts in (
            (1, pieces(command_set("1.2.3", field), draw(st.integers(1, 200)))),
            (0, pieces(data, draw(st.integers(1, 200)))),
        )
        for position, one in enumerate(parts)
    ]
    pdus = [[items[0]]]
    for one in items[1:]:
        if draw(st.booleans()):
            pdus.append([])
        pdus[-1].append(one)
    return [pdu(*one) for one in pdus]


def as_pynetdicom_reads(pdus: list[bytes]) -> Any:
    message = DIMSEMessage()
    for one in pdus:
        decoded = P_DATA_TF()
        decoded.decode(one)
        complete = message.decode_msg(decoded.to_primitive())
    assert complete
    return message.message_to_primitive()


def taken(pdus: list[bytes], store: Recorder) -> StoreProvider:
    assoc: Any = SimpleNamespace(get_handlers=lambda _: [])
    provider = StoreProvider(assoc, store.begin)
    provider.socket = SimpleNamespace(send=lambda _: None)  # type: ignore[assignment]
    for one in pdus:
        provider._take_pdu(memoryview(one))
    return provider


@given(messages(b"\x01\x00"))
def test_however_a_store_is_cut_it_is_what_pynetdicom_makes_of_it(pdus):
    store = Recorder()
    taken(pdus, store)
    expected = as_pynetdicom_reads(pdus)
    assert store.data == expected.DataSet.getvalue()
    assert store.request is not None
    assert (store.request.message_id, store.request.sop_instance_uid) == (
        expected.MessageID,
        expected.AffectedSOPInstanceUID,
    )


@given(messages(C_FIND_RQ))
def test_any_other_request_reaches_pynetdicom_as_it_was(pdus):
    provider = taken(pdus, Recorder())
    handed = [one.encode() for one in list(provider._recv_pdu.queue)]
    theirs, ours = as_pynetdicom_reads(pdus), as_pynetdicom_reads(handed)
    assert ours.msg_type == theirs.msg_type == "C-FIND"
    assert ours.Identifier.getvalue() == theirs.Identifier.getvalue()


def test_a_fragment_of_our_own_is_written_like_the_others():
    assert pdata(1, b"ab", is_command=True, is_last=True) == pdu(fragment(1, b"ab", 3))


def test_a_clock_set_forward_ends_no_association(port, monkeypatch):
    """The sender's own timers are off: they are pynetdicom's, and would take it for silence."""
    ae = AE("SENDER")
    ae.network_timeout = None
    assoc = paced(ae.associate("127.0.0.1", port, contexts=[build_context(CTImageStorage)]))
    now, steady = time.time(), time.monotonic
    start = steady()
    in_two_days = SimpleNamespace(time=lambda: now + 2 * 86400 + steady() - start)
    monkeypatch.setattr("pynetdicom.timer.time", in_two_days)
    for _ in range(20):
        assert assoc.send_c_store(make_slice(new_uid())).Status == 0x0000
    assoc.release()
    assert assoc.is_released


def test_a_timer_runs_out_stops_and_starts_again(monkeypatch):
    now = iter([0.0, 9.0, 11.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(
        "plugin.reception.association.upper_layer.time.monotonic", lambda: next(now)
    )
    timer = SteadyTimer(10)
    assert (timer.remaining, timer.expired) == (10, False)
    timer.start()
    assert not timer.expired
    assert timer.expired
    timer.restart()
    timer.stop()
    assert timer.remaining == 9
    timer.timeout = None
    assert (timer.remaining, timer.expired) == (1, False)
