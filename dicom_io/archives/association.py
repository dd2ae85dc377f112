"""An association with a peer, and what its statuses mean."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_io.archives.answers import MANY, REJECTED_FOR_GOOD, dimse_error
from dicom_io.archives.tls import Context, Tls, fault_seen
from dicom_io.errors import AssociationRejected, PeerUnreachable, SopClassRefused

# pynetdicom writes the identifiers of queries and answers to its log at level INFO
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
# PS3.8 9.3.4: the rejection may pass without anybody changing anything
REJECTED_TRANSIENT = 0x02


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a peer, in seconds.

    Parameters
    ----------
    connect_s : float
        For the TCP connection.
    acse_s : float
        For the answer to an association request or release.
    dimse_s : float
        For the answer to a command.
    """

    connect_s: float = 10.0
    acse_s: float = 15.0
    dimse_s: float = 30.0


TIMEOUTS = Timeouts()
PATIENCE = Timeouts(dimse_s=600.0)
"""An archive may have to fetch a series from tape before it answers."""


class Checkpoint(threading.Event):
    """Pauses pynetdicom's reactor, so that it takes no answer which a request waits for.

    pynetdicom opens its checkpoint after an answer and closes it before the next request. Where
    the reactor has not run in between, it still counts as paused, goes on during the request, and
    takes its answer for one that nobody asked for: the request waits in vain. Here closing waits
    until the reactor has passed. (`Association._run_reactor` of pynetdicom 3.0.)
    """

    def __init__(self) -> None:
        super().__init__()
        self._waits = False
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        self._waits = True
        try:
            return super().wait(timeout)
        finally:
            self._waits = False

    def clear(self) -> None:
        while self.is_set() and self._waits:
            time.sleep(0.0001)  # as pynetdicom waits for the pause
        super().clear()


def paced(association: Association) -> Association:
    """Give an association a checkpoint that closes only when the reactor has passed."""
    association._reactor_checkpoint = Checkpoint()
    return association


def application_entity(ae_title: str, timeouts: Timeouts) -> AE:
    """An application entity that waits no longer than it should."""
    ae = AE(ae_title)
    ae.connection_timeout = timeouts.connect_s
    ae.acse_timeout = timeouts.acse_s
    ae.dimse_timeout = timeouts.dimse_s
    ae.network_timeout = timeouts.dimse_s
    return ae


@contextmanager
def associated(
    ae: AE, host: str, port: int, ae_title: str, tls: Tls | None = None, **negotiation: Any
) -> Iterator[Association]:
    """Hold an association for the length of a block.

    Parameters
    ----------
    ae : AE
        Ours, with the presentation contexts to ask for.
    host, port, ae_title : str, int, str
        The peer.
    tls : Tls, optional
        Whom to believe, and who we are; without it the line is plain.
    **negotiation
        Roles and handlers, as pynetdicom's `associate` takes them.

    Raises
    ------
    PeerUnreachable
        No connection, no answer, a rejection that may pass, or the association ended early.
    AssociationRejected
        The peer refuses the association, or every context.
    """
    context = tls.client() if tls else None
    secured = (context, (tls.name if tls else None) or host) if context else None
    assoc = paced(ae.associate(host, port, ae_title=ae_title, tls_args=secured, **negotiation))
    if not assoc.is_established:
        raise _refusal(assoc, ae_title, context)
    try:
        yield assoc
    except RuntimeError as error:  # pynetdicom: the association ended before the request
        raise PeerUnreachable(f"{ae_title} ended the association") from error
    finally:
        assoc.release()


def _refusal(
    assoc: Association, ae_title: str, context: Context | None
) -> PeerUnreachable | AssociationRejected:
    if fault := fault_seen(context):
        return PeerUnreachable(f"no TLS with {ae_title}: {fault}", MANY)
    answer = assoc.acceptor.primitive
    if assoc.is_rejected and answer is not None:
        ours = assoc.requestor.ae_title
        reason = f"{ae_title} rejects the association of {ours}: {answer.reason_str}"
        if answer.result == REJECTED_TRANSIENT:
            return PeerUnreachable(reason)
        return AssociationRejected(reason, tries=REJECTED_FOR_GOOD)
    if refused := {UID(str(one.abstract_syntax)).name for one in assoc.rejected_contexts}:
        names = ", ".join(sorted(refused))
        return SopClassRefused(f"{ae_title} does not offer the service or SOP class: {names}")
    return PeerUnreachable(f"{ae_title} does not answer the association request")


def check_status(status: Dataset, ae_title: str, request: str = "the request") -> None:
    """Raise unless a status is Success, Pending or Warning (PS3.7 C).

    Parameters
    ----------
    status : Dataset
        The answer, empty if there was none.
    ae_title, request : str
        Who was asked for what, for messages.
    """
    code = status.get("Status")
    if code is None:
        raise PeerUnreachable(f"{ae_title} went silent or aborted the association")
    if code != 0x0000 and code >> 12 != 0xB and code not in (0xFF00, 0xFF01):
        raise dimse_error(f"{ae_title} refuses {request}", code)


def identifier(level: str, **keys: Any) -> Dataset:
    """Make the identifier of a query or retrieval; an attribute without a value is asked for."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


def find(assoc: Association, query: Dataset, ae_title: str) -> Iterator[Dataset]:
    """Yield what a peer answers to a query, Study Root (PS3.4 C.4.1).

    Parameters
    ----------
    assoc : Association
        With the context for C-FIND.
    query : Dataset
        The identifier.
    ae_title : str
        The peer's, for messages.
    """
    answers = assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    request = f"C-FIND at {query.QueryRetrieveLevel} level"
    for status, answer in answers:
        check_status(status, ae_title, request)
        if answer is not None:
            yield answer
