"""DIMSE client: verify a peer, store one instance on it, find it there again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicom_io.archives.inventory import ct_inventory
from dicom_io.archives.patient_identity import Found, InstanceReference, identities_of
from dicom_io.errors import AssociationRejected, PeerUnreachable

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


def echo(
    host: str,
    port: int,
    *,
    called_ae_title: str,
    calling_ae_title: str,
    timeouts: Timeouts = Timeouts(),
) -> None:
    """Verify that a peer answers C-ECHO (PS3.4 A.4).

    Raises
    ------
    PeerUnreachable
        No connection, no answer, or a refusal that may pass.
    AssociationRejected
        The peer refuses the association.
    """
    ae = application_entity(calling_ae_title, timeouts)
    ae.add_requested_context(Verification)
    with associated(ae, host, port, called_ae_title) as assoc:
        check_status(assoc.send_c_echo(), called_ae_title)


def store(
    path: Path,
    host: str,
    port: int,
    *,
    called_ae_title: str,
    calling_ae_title: str,
    timeouts: Timeouts = Timeouts(),
) -> None:
    """Store one instance on a peer with C-STORE (PS3.4 B.2).

    Parameters
    ----------
    path : Path
        A DICOM file; sent in its own transfer syntax, or the other uncompressed one.

    Raises
    ------
    PeerUnreachable
        No connection, no answer, out of resources (0xA7xx), or a rejection that may pass.
    AssociationRejected
        The peer refuses the association, the SOP class or the object.
    """
    store_all(
        [path],
        host,
        port,
        called_ae_title=called_ae_title,
        calling_ae_title=calling_ae_title,
        timeouts=timeouts,
    )


def store_all(
    paths: Sequence[Path],
    host: str,
    port: int,
    *,
    called_ae_title: str,
    calling_ae_title: str,
    timeouts: Timeouts = Timeouts(),
) -> None:
    """Store instances one after the other over one association; see `store`."""
    ae = application_entity(calling_ae_title, timeouts)
    for sop_class, transfer_syntax in sorted({_kind_of(path) for path in paths}):
        uncompressed = transfer_syntax in (*UNCOMPRESSED, DeflatedExplicitVRLittleEndian)
        ae.add_requested_context(
            sop_class, list(UNCOMPRESSED) if uncompressed else [transfer_syntax]
        )
    with associated(ae, host, port, called_ae_title) as assoc:
        for path in paths:
            check_status(assoc.send_c_store(dcmread(path)), called_ae_title)


def _kind_of(path: Path) -> tuple[UID, UID]:
    header = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    return UID(header.SOPClassUID), UID(header.file_meta.TransferSyntaxUID)


def find_instance(
    reference: InstanceReference,
    host: str,
    port: int,
    *,
    called_ae_title: str,
    calling_ae_title: str,
    timeouts: Timeouts = Timeouts(),
) -> Found:
    """Look for one instance on a peer with C-FIND, Study Root (PS3.4 C.6.2.1).

    The instance is asked for at IMAGE level; the patient at STUDY level, where every archive
    must answer with PatientID and PatientName.

    Raises
    ------
    PeerUnreachable
        No connection, no answer, or a refusal that may pass.
    AssociationRejected
        The peer refuses the association or the query.
    """
    image, study = _queries(reference)
    ae = application_entity(calling_ae_title, timeouts)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    with associated(ae, host, port, called_ae_title) as assoc:
        images = [
            answer
            for answer in find(assoc, image, called_ae_title)
            if answer.get("SOPInstanceUID") == reference.sop_instance_uid
        ]
        studies = list(find(assoc, study, called_ae_title))
    return Found(len(images), identities_of(studies))


def count_instances(
    study_instance_uid: str,
    host: str,
    port: int,
    *,
    called_ae_title: str,
    calling_ae_title: str,
    timeouts: Timeouts = Timeouts(),
) -> dict[str, int]:
    """Ask a peer how many instances it holds of each CT series of a study (PS3.4 C.6.2.1).

    Raises
    ------
    PeerUnreachable
        No connection, no answer, or a refusal that may pass.
    AssociationRejected
        The peer refuses the association or the query.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study_instance_uid
    query.SeriesInstanceUID = ""
    query.Modality = ""
    query.NumberOfSeriesRelatedInstances = None
    ae = application_entity(calling_ae_title, timeouts)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    with associated(ae, host, port, called_ae_title) as assoc:
        return ct_inventory(find(assoc, query, called_ae_title))


def _queries(reference: InstanceReference) -> tuple[Dataset, Dataset]:
    image = Dataset()
    image.QueryRetrieveLevel = "IMAGE"
    image.StudyInstanceUID = reference.study_instance_uid
    image.SeriesInstanceUID = reference.series_instance_uid
    image.SOPInstanceUID = reference.sop_instance_uid
    study = Dataset()
    study.SpecificCharacterSet = "ISO_IR 192"
    study.QueryRetrieveLevel = "STUDY"
    study.PatientName = ""
    study.PatientID = ""
    study.StudyInstanceUID = reference.study_instance_uid
    return image, study


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
    ae: AE, host: str, port: int, called_ae_title: str, **negotiation: Any
) -> Iterator[Association]:
    """Hold an association for the length of a block; errors as `echo` raises them."""
    assoc = ae.associate(host, port, ae_title=called_ae_title, **negotiation)
    if not assoc.is_established:
        raise _refusal(assoc, called_ae_title)
    try:
        yield assoc
    except RuntimeError as error:  # pynetdicom: the association ended before the request
        raise PeerUnreachable(f"{called_ae_title} ended the association") from error
    finally:
        assoc.release()


def _refusal(assoc: Association, called_ae_title: str) -> PeerUnreachable | AssociationRejected:
    answer = assoc.acceptor.primitive
    if assoc.is_rejected and answer is not None:
        reason = f"{called_ae_title} rejects the association: {answer.reason_str}"
        if answer.result == REJECTED_TRANSIENT:
            return PeerUnreachable(reason)
        return AssociationRejected(reason)
    if assoc.rejected_contexts:
        return AssociationRejected(f"{called_ae_title} does not offer the service or SOP class")
    return PeerUnreachable(f"{called_ae_title} does not answer the association request")


def check_status(status: Dataset, called_ae_title: str) -> None:
    """Raise unless a status is Success, Pending or Warning (PS3.7 C)."""
    code = status.get("Status")
    if code is None:
        raise PeerUnreachable(f"{called_ae_title} went silent or aborted the association")
    if code & 0xFF00 == 0xA700:
        raise PeerUnreachable(f"{called_ae_title} is out of resources (0x{code:04X})")
    if code != 0x0000 and code >> 12 != 0xB and code not in (0xFF00, 0xFF01):
        raise AssociationRejected(f"{called_ae_title} refuses the request (0x{code:04X})")


def find(assoc: Association, query: Dataset, called_ae_title: str) -> Iterator[Dataset]:
    """Yield what a peer answers to a query, Study Root (PS3.4 C.4.1)."""
    answers = assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    for status, identifier in answers:
        check_status(status, called_ae_title)
        if identifier is not None:
            yield identifier
