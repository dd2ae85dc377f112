"""The checkpoint of an association."""

from __future__ import annotations

import threading

from dicom_io.archives.association import Checkpoint
from tests.waiting import eventually


class Slow(Checkpoint):
    """Lets nobody leave before it is told to, as a thread that the machine does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.run = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self._waits = True
        try:
            passed = threading.Event.wait(self, timeout)
            self.run.wait(10)
            return passed
        finally:
            self._waits = False


def test_closing_waits_until_the_reactor_has_passed():
    checkpoint, passed, closed = Slow(), threading.Event(), threading.Event()
    reactor = threading.Thread(target=lambda: checkpoint.wait() and passed.set())
    reactor.start()
    eventually(lambda: checkpoint._waits)
    closer = threading.Thread(target=lambda: (checkpoint.clear(), closed.set()))
    closer.start()
    assert not closed.wait(0.05)
    checkpoint.run.set()
    assert closed.wait(10)
    assert passed.is_set() or passed.wait(10)
    reactor.join()
    closer.join()
    assert not checkpoint.is_set()


def test_who_comes_to_a_closed_checkpoint_waits_until_it_opens():
    checkpoint = Checkpoint()
    checkpoint.clear()
    assert not checkpoint.wait(0.01)
    checkpoint.clear()
    checkpoint.set()
    assert checkpoint.wait(1)
