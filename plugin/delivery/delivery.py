"""Delivery: every draft to every destination, until it is proved to stand there.

Sent is not delivered. A delivery ends when the report object was found again at the destination by
its SOP Instance UID, under the study and the patient that it names. Whatever an archive answers, or
does not answer, it is looked at before it is sent to again: most lost answers were successes.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from sqlalchemy.exc import DBAPIError

from dicom_io.archives.proving.proof import Verdict
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.delivery.destinations import Destination, Proof
from plugin.delivery.formed import is_the_class
from plugin.delivery.outbox import Due, Outbox
from plugin.delivery.proving import NOT_SENT, WRONG, belongs_to_another, look
from plugin.state.background import in_background
from plugin.state.running.bell import Wait
from plugin.state.running.outage import Outage

LOGGER = logging.getLogger(__name__)
# A fault of ours with one report: a restart of the database or a full disk is over by then
TRIES_AFTER_A_SURPRISE = 5


@contextmanager
def delivering(
    outbox: Outbox, destinations: Sequence[Destination], poll_s: float, wait: Wait = Event.wait
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
    wait : callable
        Waits for some seconds, or until there may be something to do; see `Bell.wait`.
    """
    outage = Outage()

    def pause(ended: Event) -> None:
        wait(ended, poll_s)

    runs = [partial(_deliver_until, outage, outbox, one, pause) for one in destinations]
    with in_background(*(("deliver", run) for run in runs)):
        yield


def _deliver_until(
    outage: Outage,
    outbox: Outbox,
    destination: Destination,
    pause: Callable[[Event], object],
    ended: Event,
) -> None:
    while not ended.is_set():
        try:
            deliver_to(outbox, destination)
            outage.over()
        except DBAPIError as error:
            outage.met(error)
        except Exception as error:  # noqa: BLE001  one surprise must not end all delivery
            # What was claimed falls due again. The text is left out: it may name a patient
            where = "".join(traceback.format_tb(error.__traceback__))
            LOGGER.error("delivery to %s: %s\n%s", destination.name, type(error).__name__, where)
        pause(ended)


def deliver_to(outbox: Outbox, destination: Destination) -> None:
    """Work through what is due at one destination, while it answers."""
    while (due := outbox.claim(destination.name, destination.claim_s)) is not None:
        if not _attempt(outbox, destination, due):
            return


def _attempt(outbox: Outbox, destination: Destination, due: Due) -> bool:
    """Send and prove one draft; returns whether the destination answers."""
    if not due.path.is_file():
        outbox.fail(due, "the report object is no longer in the spool")
        return True
    try:
        _deliver(outbox, destination.taking(due.forms), due)
    except PeerUnreachable as error:
        if error.tries is None:
            outbox.postpone(due, str(error))
            return False
        outbox.refuse(due, str(error), error.tries)
    except AssociationRejected as error:
        outbox.refuse(due, str(error), error.tries)
    except DBAPIError:
        raise
    except Exception as error:  # noqa: BLE001  a report that brings us down must not do so for ever
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        outbox.refuse(due, f"internal error: {where}", TRIES_AFTER_A_SURPRISE)
    return True


def _deliver(outbox: Outbox, destination: Destination, due: Due) -> None:
    if due.sent:
        _prove(outbox, destination, due)
        return
    if due.retried and _is_there_already(outbox, destination, due):
        return
    if belongs_to_another(destination, due.path):
        outbox.fail(due, NOT_SENT)
        return
    try:
        destination.archive.store(due.path)
    except (PeerUnreachable, AssociationRejected):
        if _is_there_already(outbox, destination, due):
            return
        raise
    due = outbox.record_sent(due, destination.claim_s)
    _prove(outbox, destination, due)


def _is_there_already(outbox: Outbox, destination: Destination, due: Due) -> bool:
    """Look whether an answer was lost; an archive that cannot be asked has not said so."""
    try:
        verdict = _look(outbox, destination, due)
    except (PeerUnreachable, AssociationRejected):
        return False
    if verdict in (None, Verdict.MISSING):
        return False
    _settle(outbox, due, verdict)
    return True


def _look(outbox: Outbox, destination: Destination, due: Due) -> Verdict | None:
    """Look for the object, and once it is there for what stands beside it."""
    verdict = _look_for_report(outbox, destination, due)
    if verdict in (None, Verdict.PROVED, Verdict.RENAMED) and destination.plain is not None:
        beside = replace(destination, archive=destination.plain)
        if not all(_bring(beside, path) for path in due.beside):
            return Verdict.MISSING
    return verdict


def _bring(destination: Destination, path: Path) -> bool:
    """Send what stands beside a draft unless it is there; returns whether nothing is left to do.

    An archive that does not take its class keeps the draft without it.

    Raises
    ------
    PeerUnreachable, AssociationRejected
        The archive cannot be asked, or refuses the object for another reason.
    """
    there = replace(destination, proof=Proof.FOUND)
    if destination.proof is not Proof.NONE and look(there, path) is Verdict.PROVED:
        return True
    try:
        destination.archive.store(path)
    except AssociationRejected as error:
        if not is_the_class(error):
            raise
        return True
    return destination.proof is Proof.NONE or look(there, path) in (Verdict.PROVED, Verdict.RENAMED)


def _look_for_report(outbox: Outbox, destination: Destination, due: Due) -> Verdict | None:
    """Look for the object, or ask for commitment to it unless that has been given meanwhile."""
    if destination.commit is None:
        return look(destination, due.path)
    if outbox.is_committed(due):
        return Verdict.PROVED
    kept = destination.commit(due.path, outbox.begin_commitment(due))
    return Verdict.PROVED if kept else Verdict.MISSING


def _prove(outbox: Outbox, destination: Destination, due: Due) -> None:
    try:
        verdict = _look(outbox, destination, due)
    except AssociationRejected as error:
        reason = f"stored, but not to be found again: {error}. Mend that, or set another proof"
        outbox.refuse(due, reason, error.tries)
        return
    if verdict is Verdict.MISSING:
        outbox.record_missing(due, destination.prove_within_s)
    else:
        _settle(outbox, due, verdict)


def _settle(outbox: Outbox, due: Due, verdict: Verdict | None) -> None:
    if verdict is None:
        outbox.record_accepted(due)
    elif verdict in WRONG:
        outbox.fail(due, WRONG[verdict])
    else:
        note = "the archive gives the PatientID another name: look which is right"
        outbox.record_proved(due, note if verdict is Verdict.RENAMED else "")
