"""Delivery: every draft to every destination, until it is proved to stand there.

Sent is not delivered. A delivery ends when the report object was found again at the destination by
its SOP Instance UID, under the study and the patient that it names. An attempt that dies between
sending and recording is simply made again: an object with the same UID changes nothing there.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom import dcmread

from dicom_io.archives.patient_identity import identity_of
from dicom_io.archives.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.delivery.destinations import Destination
from plugin.delivery.outbox import Due, Outbox

LOGGER = logging.getLogger(__name__)
# An archive may take an object in some time before it shows it: with the outbox's pauses it is sent
# again after five minutes (10 + 20 + 40 + 80 + 160 s)
LOOKS_BEFORE_SENDING_AGAIN = 5


@contextmanager
def delivering(
    outbox: Outbox, destinations: Sequence[Destination], poll_s: float
) -> Iterator[None]:
    """Deliver in the background for the length of a `with` block, one thread a destination.

    Parameters
    ----------
    outbox : Outbox
        The deliveries of the service's database.
    destinations : sequence of Destination
        One that does not answer is left until its pause is over, and holds up no other.
    poll_s : float
        How often the outbox is asked what is due.
    """
    ended = threading.Event()
    threads = [
        threading.Thread(target=_deliver_until, args=(ended, outbox, one, poll_s), daemon=True)
        for one in destinations
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _deliver_until(
    ended: threading.Event, outbox: Outbox, destination: Destination, poll_s: float
) -> None:
    while not ended.wait(poll_s):
        try:
            deliver_to(outbox, destination)
        except Exception as error:  # noqa: BLE001  one surprise must not end all delivery
            # What was claimed falls due again. The text is left out: it may name a patient
            where = "".join(traceback.format_tb(error.__traceback__))
            LOGGER.error("delivery to %s: %s\n%s", destination.name, type(error).__name__, where)


def deliver_to(outbox: Outbox, destination: Destination) -> None:
    """Work through what is due at one destination, while it answers."""
    while (due := outbox.claim(destination.name)) is not None:
        if not _attempt(outbox, destination, due):
            return


def _attempt(outbox: Outbox, destination: Destination, due: Due) -> bool:
    """Send and prove one draft; returns whether the destination answers."""
    if not due.path.is_file():
        outbox.fail(due, "the report object is no longer in the spool")
        return True
    try:
        if not due.sent:
            destination.archive.store(due.path)
            due = outbox.record_sent(due)
        _prove(outbox, destination, due)
    except PeerUnreachable as error:
        outbox.postpone(due, str(error))
        return False
    except AssociationRejected as error:
        outbox.fail(due, str(error))
    return True


def _prove(outbox: Outbox, destination: Destination, due: Due) -> None:
    header = dcmread(due.path, stop_before_pixels=True)
    found = destination.archive.find(InstanceReference.of(header))
    verdict = judge(found, identity_of(header))
    if verdict is Verdict.PROVED:
        outbox.record_proved(due)
    elif verdict is Verdict.MISSING:
        again = due.attempts + 1 >= LOOKS_BEFORE_SENDING_AGAIN
        outbox.postpone(due, "stored, but not yet found again", send_again=again)
    else:
        outbox.fail(due, "found under another patient or study: correct it there at once")
