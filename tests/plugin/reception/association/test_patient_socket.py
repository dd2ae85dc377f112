"""Nobody who gathers small pieces waits for a late acknowledgment."""

from __future__ import annotations

import socket
import sys

import pytest
from pynetdicom import AE
from pynetdicom.association import Association

from plugin.reception.association.patient_socket import PatientSocket


@pytest.mark.skipif(sys.platform != "linux", reason="acknowledgments are asked for on Linux")
def test_what_came_is_acknowledged_before_more_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with sender, peer:
        waiting = PatientSocket(Association(AE(), "acceptor"), peer, pdu_timeout_s=1.0)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        assert not peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
        assert waiting.next_pdu(0.001) is None
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
