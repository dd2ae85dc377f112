"""Peers that are broken, slow or hostile: the receiver outlives all of them."""

from __future__ import annotations

import random
import socket
import struct
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, build_context

from plugin.reception import receiver
from plugin.reception.association.lobby import Strangers
from plugin.reception.receiver import Limits, running_receiver
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from tests.plugin.intake_objects import (
    association,
    incoming,
    make_slice,
    new_uid,
    raw_store_begin,
    store,
)
from tests.waiting import eventually

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))
LIMITS = Limits(maximum_associations=4, acse_timeout_s=0.5, pdu_timeout_s=0.5)


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[SessionFactory]:
    engine = open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}")
    yield session_factory(engine)
    engine.dispose()


@pytest.fixture
def port(sessions: SessionFactory, spool: Spool) -> Iterator[int]:
    with running_receiver(sessions, spool, patience=PATIENCE, limits=LIMITS) as port:
        yield port
        assert store(port, make_slice(new_uid())) == [0x0000]  # after whatever the test did


def closed_within(peer: socket.socket, seconds: float) -> bool:
    """Whether the receiver ends the connection in time, whatever it says before."""
    peer.settimeout(seconds)
    try:
        while peer.recv(4096):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def dripped_on(peer: socket.socket) -> bool:
    """Send one more byte; whether the receiver has had enough."""
    try:
        peer.sendall(b"\x00")
        return not peer.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_silent_connection_is_closed(port):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        assert closed_within(peer, 5)


def test_half_a_pdu_is_not_waited_for_longer_than_allowed(port):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(b"\x01\x00" + struct.pack(">L", 200) + bytes(50))
        assert closed_within(peer, 5)


def test_a_pdu_that_drips_byte_by_byte_is_not_waited_for_either(port):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(b"\x01\x00" + struct.pack(">L", 200))
        peer.settimeout(0.05)
        assert eventually(lambda: dripped_on(peer), 5)


def test_a_pdu_that_claims_four_gigabytes_takes_no_memory(port):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(b"\x01\x00" + struct.pack(">L", 2**32 - 1) + bytes(1000))
        assert closed_within(peer, 5)


@pytest.mark.parametrize("seed", range(12))
def test_garbage_ends_the_connection_and_nothing_else(port, seed):
    noise = random.Random(seed).randbytes(400)
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(noise)
        assert closed_within(peer, 5)


@pytest.mark.parametrize("kind", range(1, 8))
def test_any_pdu_in_the_wrong_place_ends_the_connection(port, kind):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(bytes([kind, 0]) + struct.pack(">L", 4) + bytes(4))
        assert closed_within(peer, 5)


def stored(port: int) -> bool:
    """Whether the receiver has room for an association and keeps an instance."""
    with association(port) as assoc:
        if not assoc.is_established:
            return False
        return assoc.send_c_store(make_slice(new_uid())).Status == 0x0000


def test_an_abort_in_the_middle_of_a_data_set_leaves_no_file(port, spool, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with association(port) as assoc:
        raw_store_begin(assoc)
        assert eventually(lambda: incoming(spool))
        assoc.abort()
    assert eventually(lambda: not incoming(spool))
    assert list(spool.instance_paths()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_peer_that_vanishes_in_the_middle_of_a_data_set_leaves_no_file(port, spool):
    with association(port) as assoc:
        raw_store_begin(assoc)
        assert eventually(lambda: incoming(spool))
        peer = assoc.dul.socket.socket
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # a reset, no goodbye
    assert eventually(lambda: not incoming(spool))


def test_probes_of_a_load_balancer_take_no_place(sessions, spool):
    """Each opens a connection and closes it; the time limits are those of the service."""
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        for _ in range(60):
            socket.create_connection(("127.0.0.1", port)).close()
        assert eventually(lambda: stored(port), Limits().acse_timeout_s / 2)


def an_association_request(length: int = 200) -> bytes:
    """The beginning of one: type and length (PS3.8 9.3.2)."""
    return b"\x01\x00" + struct.pack(">L", length)


@pytest.mark.parametrize("said", [b"", b"\x01", an_association_request() + bytes(50)])
def test_a_flood_of_connections_that_ask_for_nothing_keeps_nobody_out(
    sessions, spool, caplog, said
):
    """Many more than may wait, at once and with the time limits of the service."""
    with running_receiver(sessions, spool, patience=PATIENCE) as port, ExitStack() as crowd:
        for _ in range(300):
            peer = crowd.enter_context(socket.create_connection(("127.0.0.1", port)))
            peer.sendall(said)
        assert stored(port)
        threads = [one.name for one in threading.enumerate() if "AcceptorThread" in one.name]
        assert len(threads) < 10


def test_a_flood_that_goes_on_keeps_nobody_out(sessions, spool):
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        ended = threading.Event()

        def flood() -> None:
            silent: deque[socket.socket] = deque()
            while not ended.is_set():
                silent.append(socket.create_connection(("127.0.0.1", port)))
                if len(silent) > 200:
                    silent.popleft().close()
                time.sleep(0.005)
            for peer in silent:
                peer.close()

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            assert all(stored(port) for _ in range(10))
        finally:
            ended.set()
            thread.join()


def test_a_request_that_comes_in_two_pieces_is_heard(port):
    request = bytearray()
    ae = AE("SENDER")
    with socket.create_server(("127.0.0.1", 0)) as middle:

        def take() -> None:
            with middle.accept()[0] as peer:
                request.extend(peer.recv(65536))

        taken = threading.Thread(target=take)
        taken.start()
        ae.acse_timeout = 0.5
        ae.associate(*middle.getsockname(), contexts=[build_context(CTImageStorage)])
        taken.join()
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(request[:50])
        time.sleep(0.1)  # not for something to happen: so that the pieces come one by one
        peer.sendall(request[50:])
        assert peer.recv(1) == b"\x02"  # A-ASSOCIATE-AC


def test_an_address_that_is_not_listed_is_closed_before_it_says_anything(port, monkeypatch, caplog):
    with monkeypatch.context() as nobody:
        nobody.setattr(receiver, "_titles", lambda *_: [])
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as peer:
                assert closed_within(peer, 5)
    said = "127.0.0.1 refused: its address is not in the allow-list"
    eventually(lambda: said in caplog.text)
    assert caplog.text.count(said) == 1


def test_strangers_fill_no_log(caplog):
    strangers = Strangers()
    for _ in range(1000):
        strangers.tell("192.0.2.1", "its address is not in the allow-list")
    assert len(caplog.records) == 1


def test_a_crowd_of_silent_connections_keeps_nobody_out_for_long(port):
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        assert eventually(lambda: stored(port), 10)
    finally:
        for peer in crowd:
            peer.close()
