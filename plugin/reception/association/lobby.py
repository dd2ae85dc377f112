"""Where connections wait until they have asked for an association; each costs a descriptor.

A connection that says nothing, or little, takes no thread, no buffer and no association's place. If
too many wait, the one that has waited longest goes: whoever asks at once is always heard.
"""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from plugin.reception.association.pdata import PDU_HEADER

LOGGER = logging.getLogger(__name__)
_A_ASSOCIATE_RQ = 0x01
# A request of 128 presentation contexts, the most there can be, takes about 60 KB; the kernel keeps
# as much as this of what nobody has read
LARGEST_REQUEST = 64 * 1024
# How often it is looked who has waited too long
_POLL_S = 0.5
# One log line a minute tells of any number of strangers
_LOG_PAUSE_S = 60.0

# A TLS record: its type, version and length (RFC 8446 5.1); a handshake begins with a ClientHello
_TLS_HEADER = struct.Struct(">BHH")
_TLS_HANDSHAKE, _LARGEST_RECORD = 0x16, 1 << 14

Admit = Callable[[socket.socket, Any], None]
"""Called with a connection whose whole request has come, and its address."""


class Lobby:
    """A thread that watches connections before they are associations.

    Parameters
    ----------
    admit : callable
        Takes a connection over.
    places : int
        How many may wait at the same time.
    patience_s : float
        How long one may take to ask (ARTIM, PS3.8 9.1.5).
    tls : bool
        Whether a request is a ClientHello.
    """

    def __init__(self, admit: Admit, places: int, patience_s: float, *, tls: bool = False) -> None:
        self._admit = admit
        self._asks = _greets if tls else _asks
        self._places = places
        self._patience_s = patience_s
        self._lock = threading.Lock()
        # In the order in which they came
        self._waiting: dict[int, tuple[socket.socket, Any, float]] = {}
        self._changes = select.epoll()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lobby", daemon=True)
        self._thread.start()

    def enter(self, peer: socket.socket, address: Any) -> None:
        """Have a connection wait for its request; where all places are taken, the oldest goes.

        Parameters
        ----------
        peer : socket.socket
            Connected.
        address : tuple
            Its address, as the socket module gives it.
        """
        peer.setblocking(False)
        with self._lock:
            longest = next(iter(self._waiting)) if len(self._waiting) >= self._places else None
            self._waiting[peer.fileno()] = peer, address, time.monotonic()
            # Edge-triggered: half a request wakes nobody until more of it comes
            self._changes.register(peer, select.EPOLLIN | select.EPOLLET)
        if longest is not None:
            self._dismiss(longest)

    def stop(self) -> None:
        """Close whatever waits."""
        self._ended.set()
        self._thread.join()
        for descriptor in list(self._waiting):
            self._dismiss(descriptor)
        self._changes.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for descriptor, _ in self._changes.poll(_POLL_S):
                self._look(descriptor)
            latest = time.monotonic() - self._patience_s
            with self._lock:
                late = [one for one, (_, _, since) in self._waiting.items() if since < latest]
            for descriptor in late:
                self._dismiss(descriptor)

    def _look(self, descriptor: int) -> None:
        with self._lock:
            peer, address, _ = self._waiting.get(descriptor, (None, None, 0.0))
        if peer is None:
            return
        asks = self._asks(peer)
        if asks is None:
            return
        if not asks:
            self._dismiss(descriptor)
        elif self._leave(descriptor) is not None:
            self._admit(peer, address)

    def _leave(self, descriptor: int) -> socket.socket | None:
        with self._lock:
            peer, _, _ = self._waiting.pop(descriptor, (None, None, 0.0))
            if peer is not None:
                self._changes.unregister(peer)
        return peer

    def _dismiss(self, descriptor: int) -> None:
        peer = self._leave(descriptor)
        if peer is not None:
            close(peer)


def _asks(peer: socket.socket) -> bool | None:
    """Whether a whole association request has come; None where it may still come."""
    try:
        begin = peer.recv(PDU_HEADER.size, socket.MSG_PEEK)
        if len(begin) < PDU_HEADER.size:
            return None if begin and begin[0] == _A_ASSOCIATE_RQ else False
        kind, length = PDU_HEADER.unpack(begin)
        if kind != _A_ASSOCIATE_RQ or length > LARGEST_REQUEST:
            return False
        size = PDU_HEADER.size + length
        whole = peer.recv(size, socket.MSG_PEEK)
        return True if len(whole) == size else None
    except BlockingIOError:
        return None
    except OSError:
        return False


def _greets(peer: socket.socket) -> bool | None:
    """Whether a whole ClientHello has come, or what is none: the handshake says what is wrong."""
    try:
        begin = peer.recv(_TLS_HEADER.size, socket.MSG_PEEK)
        if not begin:
            return False
        if begin[0] != _TLS_HANDSHAKE:
            return True
        if len(begin) < _TLS_HEADER.size:
            return None
        _, _, length = _TLS_HEADER.unpack(begin)
        size = _TLS_HEADER.size + min(length, _LARGEST_RECORD)
        return True if len(peer.recv(size, socket.MSG_PEEK)) == size else None
    except BlockingIOError:
        return None
    except OSError:
        return False


def close(peer: socket.socket) -> None:
    with suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)
    peer.close()


class Strangers:
    """Tells the log who was turned away, in one line a minute however many there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._unsaid = 0

    def tell(self, address: str, why: str) -> None:
        """Say that somebody was turned away.

        Parameters
        ----------
        address : str
            Where from.
        why : str
            The reason.
        """
        with self._lock:
            if time.monotonic() < self._next:
                self._unsaid += 1
                return
            self._next = time.monotonic() + _LOG_PAUSE_S
            more = f" ({self._unsaid} others since the last such line)" if self._unsaid else ""
            self._unsaid = 0
        LOGGER.warning("%s refused: %s%s", address, why, more)
