"""Storage SCP and Verification SCP (PS3.4 annexes A and B): studies arrive here.

An instance is acknowledged when its file and folder are fsynced and its row is committed, in this
order, and not before. The process imports no model code, and decodes nothing but a few tags.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]
from sqlalchemy.exc import DBAPIError

from dicom_io.archives.proving.commitment import Report
from dicom_io.archives.tls import Tls
from dicom_io.errors import ProtocolViolation
from plugin.reception.association.handshakes import Handshakes
from plugin.reception.association.listener import Listener, reject, start_listener, stop_listener
from plugin.reception.association.pdata import Command
from plugin.reception.committer import Committer
from plugin.reception.dimse_status import PROCESSING_FAILURE, SUCCESS
from plugin.reception.instance_store import InstanceStore
from plugin.reception.sweep import sweeping
from plugin.state.clock import now_of
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.commitments import record_report
from plugin.state.kept.refusals import TURNED_AWAY
from plugin.state.tally import TALLY, Counted

LOGGER = logging.getLogger(__name__)
VERIFICATION = "1.2.840.10008.1.1"
# What a peer is told to send at most: a CT slice of 512 KB comes in four or five PDUs
MAXIMUM_PDU = 128 * 1024

TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian (retired)
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline, of secondary captures
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202",  # High-Throughput JPEG 2000 with RPCL Lossless
    "1.2.840.10008.1.2.4.203",  # High-Throughput JPEG 2000
)
# An association proposes up to 128 contexts; a line that names so many shows what they are
_MOST_SHOWN = 8
STORAGE_CLASSES = frozenset(str(cx.abstract_syntax) for cx in AllStoragePresentationContexts)
"""Every Storage SOP Class that is known (PS3.4 B.5)."""
_KNOWN_CLASSES = STORAGE_CLASSES | {VERIFICATION, StorageCommitmentPushModel}

Peer = tuple[str, str]
"""AE title, and address or network in CIDR notation."""


@dataclass(frozen=True)
class Limits:
    """What a peer may do to us."""

    maximum_associations: int = 10
    network_timeout_s: float = 60.0
    acse_timeout_s: float = 10.0
    # Each costs a descriptor; at a hundred silent ones a second, one has a third of a second to ask
    most_unassociated: int = 32
    pdu_timeout_s: float = 30.0


@contextmanager
def running_receiver(
    sessions: SessionFactory,
    spool: Spool,
    *,
    patience: Patience,
    host: str = "127.0.0.1",
    port: int = 0,
    ae_title: str = "CTSCRIBE",
    redraft_ae_title: str = "CTSCRIBE_AGAIN",
    peers: Sequence[Peer] = (),
    limits: Limits = Limits(),
    share_port: bool = False,
    expect: Callable[[float], None] = lambda _: None,
    tls: Tls | None = None,
) -> Iterator[int]:
    """Receive studies for the length of a `with` block.

    Parameters
    ----------
    sessions, spool
        Where instances are recorded, and where they lie.
    patience : Patience
        How long more of a study is waited for.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    ae_title, redraft_ae_title : str
        Instances sent to the second title ask for a new draft even if they are known. Any other
        called title is taken for the first.
    peers : sequence of (AE title, network)
        Who may open an association from beyond loopback.
    limits : Limits
        Time and number of associations.
    share_port : bool
        Whether other receiver processes listen on the same port.
    expect : callable
        Told, again and again, within how many seconds it will be called again.
    tls : Tls, optional
        With it, peers must speak TLS.

    Yields
    ------
    int
        The port.
    """
    _config.LOG_HANDLER_LEVEL = "none"  # its handlers print identifiers, and cost time
    server: list[Listener] = []
    committer = Committer(
        sessions,
        patience=patience,
        open_associations=lambda: server[0].names if server else (),
        expect=expect,
    )
    reception = _Reception(sessions, spool, committer, redraft_ae_title, tuple(peers))
    committer.start()
    handshakes = Handshakes(tls) if tls else None
    server.append(_listen(ae_title, host, port, reception, limits, share_port, handshakes))
    LOGGER.info("%s listens on %s:%d", ae_title, *server[0].server_address[:2])
    try:
        with sweeping(sessions, spool, patience=patience):
            yield int(server[0].server_address[1])
    finally:
        stop_listener(server[0])
        committer.stop()


def run_receiver(
    sessions: SessionFactory, spool: Spool, stop: threading.Event, **options: Any
) -> None:
    """Receive until `stop` is set; `options` are those of `running_receiver`.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    spool : Spool
        Where instances are kept.
    stop : Event
        Ends it.
    """
    with running_receiver(sessions, spool, **options):
        stop.wait()


def _listen(
    ae_title: str,
    host: str,
    port: int,
    reception: _Reception,
    limits: Limits,
    share_port: bool,
    handshakes: Handshakes | None,
) -> Listener:
    ae = AE(ae_title)
    ae.maximum_pdu_size = MAXIMUM_PDU
    ae.maximum_associations = limits.maximum_associations
    ae.network_timeout = limits.network_timeout_s
    ae.acse_timeout = limits.acse_timeout_s
    ae.dimse_timeout = limits.network_timeout_s
    ae.add_supported_context(VERIFICATION)
    return start_listener(
        ae,
        host,
        port,
        reception.handlers(),
        begin_store=reception.begin_store,
        pdu_timeout_s=limits.pdu_timeout_s,
        may_connect=reception.may_connect,
        most_unassociated=limits.most_unassociated,
        share_port=share_port,
        handshakes=handshakes,
    )


@dataclass(frozen=True)
class _Reception:
    """The handlers of the associations."""

    sessions: SessionFactory
    spool: Spool
    committer: Committer
    redraft_ae_title: str
    peers: tuple[Peer, ...]

    def handlers(self) -> list[Any]:
        ended = (evt.EVT_RELEASED, evt.EVT_ABORTED, evt.EVT_CONN_CLOSE)
        return [
            (evt.EVT_REQUESTED, self.requested),
            (evt.EVT_N_EVENT_REPORT, self.reported),
            *((event, self.ended) for event in ended),
        ]

    def requested(self, event: Any) -> None:
        requestor = event.assoc.requestor
        title, address = str(requestor.primitive.calling_ae_title), requestor.address
        if not is_allowed(title, address, self.peers):
            event.assoc._server.strangers.tell(address, "its AE title is not in the allow-list")
            TALLY.count(Counted.REFUSALS, reason="UnknownSender")
            TURNED_AWAY.note(title, address, "UnknownSender")
            reject(event, 0x01, 0x01, 0x03)  # PS3.8 9.3.4: calling AE title not recognised
            return
        _offer_what_is_asked(event)

    def reported(self, event: Any) -> tuple[int, None]:
        """Take an archive's report on a request for storage commitment (PS3.4 J.3.3)."""
        report = Report.of(event.event_information)
        try:
            with self.sessions.begin() as session:
                known = record_report(
                    session, report.transaction_uid, report.committed, now_of(session)
                )
        except DBAPIError:
            return PROCESSING_FAILURE, None
        if not known:
            LOGGER.warning("a report on a storage commitment that nobody here asked for")
        return SUCCESS, None

    def may_connect(self, address: str) -> bool:
        titles = _titles(address, self.peers)
        return titles is None or titles != []

    def ended(self, event: Any) -> None:
        self.committer.association_ended(event.assoc.name)

    def begin_store(self, association: Association, request: Command) -> InstanceStore:
        requestor: Any = association.requestor
        contexts = {context.context_id: context for context in association.accepted_contexts}
        if request.context_id not in contexts:
            raise ProtocolViolation(f"presentation context {request.context_id} is not accepted")
        return InstanceStore(
            self.spool,
            self.committer,
            request,
            transfer_syntax_uid=str(contexts[request.context_id].transfer_syntax[0]),
            association=association.name,
            source_ae_title=requestor.ae_title.strip(),
            address=str(requestor.address),
            redraft=requestor.primitive.called_ae_title == self.redraft_ae_title,
        )


def is_allowed(ae_title: str, address: str, peers: Sequence[Peer]) -> bool:
    """Tell whether a peer may open an association: from loopback always, else by the list.

    Parameters
    ----------
    ae_title, address : str
        Who asks: the calling AE title, and an IP address.
    peers : sequence of (AE title, network)
        The list.
    """
    titles = _titles(address, peers)
    return titles is None or ae_title.strip() in titles


def _titles(address: str, peers: Sequence[Peer]) -> list[str] | None:
    """Return the AE titles under which an address may open an association; None where any is."""
    ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone of a link-local one
    # What a socket that listens on :: calls an IPv4 peer
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return None
    return [title for title, network in peers if ip in ipaddress.ip_network(network, strict=False)]


def _offer_what_is_asked(event: Any) -> None:
    """Support the storage classes that the peer proposes, in the peer's order of syntaxes.

    Offering all of them to everybody costs 80 ms an association.
    """
    proposed: dict[str, list[str]] = {}
    contexts = event.assoc.requestor.primitive.presentation_context_definition_list
    _tell_refused(event.assoc.requestor, contexts)
    for context in contexts:
        if context.abstract_syntax in STORAGE_CLASSES:
            syntaxes = proposed.setdefault(str(context.abstract_syntax), [])
            syntaxes += [
                syntax for syntax in map(str, context.transfer_syntax) if syntax not in syntaxes
            ]
    event.assoc.acceptor.supported_contexts = [
        build_context(VERIFICATION),
        _hears_of_commitment(),
        *(
            build_context(uid, accepted)
            for uid, all_ in proposed.items()
            if (accepted := _ours(all_))
        ),
    ]


def _tell_refused(requestor: Any, contexts: Sequence[PresentationContext]) -> None:
    """One line for all presentation contexts of an association that will be refused."""
    refused = [
        f"{context.abstract_syntax} "
        + ("(no transfer syntax of ours)" if known else "(no storage class that we know)")
        for context in contexts
        if not (known := context.abstract_syntax in _KNOWN_CLASSES)
        or (context.abstract_syntax != VERIFICATION and not _ours(_syntaxes_of(context)))
    ]
    if refused:
        sender = f"{str(requestor.primitive.calling_ae_title).strip()} at {requestor.address}"
        shown = ", ".join(sorted(set(refused))[:_MOST_SHOWN])
        LOGGER.warning("%s: %d contexts are refused: %s", sender, len(refused), shown)


def _syntaxes_of(context: PresentationContext) -> list[str]:
    return [str(syntax) for syntax in context.transfer_syntax or ()]


def _hears_of_commitment() -> PresentationContext:
    """Let an archive that opens an association be the provider on it (PS3.4 J.3.3)."""
    context = build_context(StorageCommitmentPushModel)
    # pynetdicom: which roles the requestor may propose for itself
    context.scu_role, context.scp_role = False, True
    return context


def _ours(syntaxes: list[str]) -> list[str]:
    return [syntax for syntax in syntaxes if syntax in TRANSFER_SYNTAXES]
