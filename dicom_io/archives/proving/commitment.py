"""Storage commitment: an archive says that it will keep an object (PS3.4 J, Push Model)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dicom_io.archives.association import check_status

# PS3.4 J.3.2: the one action there is
REQUEST = 1
# Archives that answer on the same association do so at once; the others call back
WAIT_S = 5.0


@dataclass(frozen=True)
class Report:
    """What an archive reports of a request (PS3.4 J.3.3).

    Parameters
    ----------
    transaction_uid : str
        Of the request.
    committed : frozenset of str
        SOP Instance UIDs that it keeps; those that are not here have failed.
    """

    transaction_uid: str
    committed: frozenset[str]

    @classmethod
    def of(cls, information: Dataset) -> Report:
        """Read the information of an N-EVENT-REPORT."""
        kept = information.get("ReferencedSOPSequence") or ()
        uids = (str(one.get("ReferencedSOPInstanceUID", "")) for one in kept)
        return cls(str(information.get("TransactionUID", "")), frozenset(uids))


@dataclass
class Mailbox:
    """Waits for the report on the association of the request."""

    report: Report | None = None
    arrived: threading.Event = field(default_factory=threading.Event)

    def take(self, event: Any) -> tuple[int, None]:
        """Handle an N-EVENT-REPORT."""
        self.report = Report.of(event.event_information)
        return 0x0000, None

    def answered(self, event: Any) -> None:
        """Notice that our answer has left: the association may end."""
        if self.report is not None and isinstance(event.pdu, P_DATA_TF):
            self.arrived.set()

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_N_EVENT_REPORT, self.take), (evt.EVT_PDU_SENT, self.answered)]


def ask(assoc: Association, header: Dataset, transaction_uid: str, ae_title: str) -> None:
    """Ask for commitment to one object by N-ACTION (PS3.4 J.3.2).

    Parameters
    ----------
    assoc : Association
        With the context of the Push Model.
    header : Dataset
        Of the object.
    transaction_uid, ae_title : str
        Ours for the request; and the peer's, for messages.

    Raises
    ------
    PeerUnreachable, AssociationRejected
        There is no answer, or a refusal.
    """
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [item]
    status, _ = assoc.send_n_action(
        request, REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    check_status(status, ae_title, "storage commitment")
