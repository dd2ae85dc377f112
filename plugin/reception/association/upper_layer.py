"""pynetdicom's upper layer (PS3.8), but C-STORE requests go straight to where they are kept.

pynetdicom negotiates and releases associations, and answers every other command. Its own way for an
object, over two polling threads and several copies in memory, takes longer than all the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.timer import Timer

from dicom_io.errors import ProtocolViolation
from plugin.reception.association.patient_socket import PatientSocket
from plugin.reception.association.pdata import (
    C_STORE_RQ,
    P_DATA_TF,
    PDU_HEADER,
    Command,
    Fragment,
    fragments,
    pdata,
    read_command,
    store_response,
)

LOGGER = logging.getLogger(__name__)
_LARGEST_COMMAND = 1 << 16  # bytes; a C-STORE request has a few hundred
# Fragments are written as they come, from where they were received; smaller ones are collected
_PIECE = 1 << 16
_A_RELEASE_RQ, _A_ABORT = 0x05, 0x07
# A peer that pauses for longer between two PDUs is left to pynetdicom's polling: in so long that
# costs as much as a slice
_PAUSE_S = 0.1


class Store(Protocol):
    """A C-STORE request whose data set is arriving. Faults become the status."""

    def write(self, data: memoryview) -> None:
        """Take the next part of the data set, which is gone after the call."""

    def finish(self) -> int:
        """Keep the object; return the status to answer."""

    def discard(self) -> None:
        """Leave nothing behind: the rest will not come."""


BeginStore = Callable[[Association, Command], Store]


class SteadyTimer(Timer):
    """A timer that no setting of the clock moves; pynetdicom's own would end every association."""

    @property
    def remaining(self) -> float:
        if self.timeout is None:
            return 1
        if self._start_time is None:
            return self.timeout
        end = time.monotonic() if self._end_time is None else self._end_time
        return self.timeout - (end - self._start_time)

    def start(self) -> None:
        self._start_time, self._end_time = time.monotonic(), None

    def stop(self) -> None:
        self._end_time = time.monotonic()


class StoreProvider(DULServiceProvider):
    """The upper layer of one association.

    Parameters
    ----------
    assoc : Association
        Whose it is.
    begin_store : callable
        Called with every C-STORE request.
    """

    def __init__(self, assoc: Association, begin_store: BeginStore) -> None:
        super().__init__(assoc)
        self._idle_timer, self.artim_timer = SteadyTimer(60), SteadyTimer(30)
        self._begin_store = begin_store
        self._encoded_command = bytearray()
        # The message whose data set is awaited, and where that goes unless to pynetdicom
        self._message: Command | None = None
        self._store: Store | None = None
        self._data = bytearray()
        self._is_first = True

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        finally:
            if self._store is not None:
                # It may tell which study lacks the object
                self._store.write(memoryview(self._data))
                self._store.discard()

    def _read_pdu_data(self) -> None:
        """Read what the peer has sent; the reactor calls this when there is something."""
        if self.state_machine.current_state != "Sta6":  # PS3.8 9.2.2: data transfer
            super()._read_pdu_data()
            return
        with self._alone():
            try:
                self._transfer(cast(PatientSocket, self.socket))
            except OSError:
                self.event_queue.put("Evt17")  # PS3.8 9.2: transport connection closed
            except ProtocolViolation as error:
                LOGGER.warning("association aborted: %s", error)
                self.event_queue.put("Evt19")  # PS3.8 9.2: invalid PDU

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Have the association's thread wait, which polls a thousand times a second else."""
        self.assoc._reactor_checkpoint.clear()
        try:
            yield
        finally:
            self._idle_timer.restart()
            self.assoc._reactor_checkpoint.set()

    def _transfer(self, peer: PatientSocket) -> None:
        """Take PDUs while they come and pynetdicom has nothing to do."""
        while self.event_queue.empty() and self.to_provider_queue.empty():
            pdu = peer.next_pdu(_PAUSE_S)
            if pdu is None:
                return
            self._take_pdu(pdu)

    def _take_pdu(self, pdu: memoryview) -> None:
        kind = pdu[0]
        if kind == P_DATA_TF:
            for fragment in fragments(pdu[PDU_HEADER.size :]):
                self._take(fragment)
        elif kind in (_A_RELEASE_RQ, _A_ABORT):
            self._hand_over(bytes(pdu))
        else:
            raise ProtocolViolation(f"a PDU of type {kind} in data transfer")

    def _take(self, fragment: Fragment) -> None:
        if fragment.is_command:
            self._take_command(fragment)
        else:
            self._take_data(fragment)

    def _take_command(self, fragment: Fragment) -> None:
        if self._message is not None:
            raise ProtocolViolation("a command inside a data set")
        self._encoded_command += fragment.data
        if len(self._encoded_command) > _LARGEST_COMMAND:
            raise ProtocolViolation("a command without end")
        if fragment.is_last:
            encoded, self._encoded_command = bytes(self._encoded_command), bytearray()
            self._begin(read_command(fragment.context_id, encoded), encoded)

    def _begin(self, command: Command, encoded: bytes) -> None:
        if command.has_data_set:
            self._message = command
        if command.field != C_STORE_RQ:
            self._hand_over(pdata(command.context_id, encoded, is_command=True, is_last=True))
            return
        self._store = self._begin_store(self.assoc, command)
        self._is_first = True
        if not command.has_data_set:
            self._answer(command, self._store)

    def _take_data(self, fragment: Fragment) -> None:
        message = self._message
        if message is None or fragment.context_id != message.context_id:
            raise ProtocolViolation("a data set without its command")
        if fragment.is_last:
            self._message = None
        if self._store is None:
            data = pdata(
                message.context_id, fragment.data, is_command=False, is_last=fragment.is_last
            )
            self._hand_over(data)
            return
        self._write(self._store, fragment)
        if fragment.is_last:
            self._answer(message, self._store)

    def _write(self, store: Store, fragment: Fragment) -> None:
        """Write a fragment, or keep it until there is enough to write."""
        data = fragment.data
        if self._data:
            self._data += data
            data = memoryview(self._data)
        # The first at once: it tells which study lacks the object if this process is killed
        if fragment.is_last or self._is_first or len(data) >= _PIECE:
            store.write(data)
            self._data, self._is_first = bytearray(), False
        elif not self._data:
            self._data += data

    def _answer(self, request: Command, store: Store) -> None:
        self._store = None
        cast(PatientSocket, self.socket).send(store_response(request, store.finish()))

    def _hand_over(self, pdu: bytes) -> None:
        """Have pynetdicom take a PDU as if it had read it."""
        decoded, event = self._decode_pdu(bytearray(pdu))
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)
