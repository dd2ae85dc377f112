"""Retrieval by DIMSE: what C-GET and C-MOVE ask for, and where it arrives (PS3.4 C.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread, uid
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

from dicom_io.archives.association import UNCOMPRESSED, check_status
from dicom_io.counted import counted
from dicom_io.errors import NotRetrieved, PeerUnreachable

IMAGES = (
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
)
# What else lies in series of modality CT or SR: reports, captures, presentations, documents, raw
_OTHERS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(88|7|11|104|66)(\.|$)")
OTHERS = tuple(
    sop_class
    for sop_class in sorted(uid.UID(str(c.abstract_syntax)) for c in AllStoragePresentationContexts)
    if _OTHERS.match(sop_class)
)
COMPRESSED = (
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)
# PS3.4 C.4.2.1.5 and PS3.7 C.5.6: unable to perform sub-operations; not authorised
SUCCESS, UNABLE, REFUSED = 0x0000, 0xA702, 0x0124


@dataclass(frozen=True)
class Listener:
    """Where C-MOVE is to send to: the archive must know our title at this address."""

    host: str
    port: int


class Inbox:
    """Keeps what arrives of one study in a folder, under numbers."""

    def __init__(self, folder: Path, study_instance_uid: str) -> None:
        self.folder, self.study_instance_uid = folder, study_instance_uid
        self.received: set[str] = set()
        self._first = len(list(folder.iterdir()))

    def store(self, event: Any) -> int:
        """Store an instance (PS3.4 C.4.3.2), but none of another study."""
        content = event.encoded_dataset()
        header = dcmread(BytesIO(content), specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
        if header.get("StudyInstanceUID") != self.study_instance_uid:
            return REFUSED
        sop_instance_uid = str(header.SOPInstanceUID)
        if sop_instance_uid not in self.received:
            number = self._first + len(self.received)
            (self.folder / f"{number:06d}.dcm").write_bytes(content)
            self.received.add(sop_instance_uid)
        return SUCCESS


def storage_contexts() -> Iterator[tuple[uid.UID, list[uid.UID]]]:
    """A context for each encoding, as the archive sends what it holds as it is."""
    for sop_class in (*IMAGES, *OTHERS):
        yield sop_class, list(UNCOMPRESSED)
    for sop_class in IMAGES:
        for syntax in COMPRESSED:
            yield sop_class, [syntax]


def storage_roles() -> list[SCP_SCU_RoleSelectionNegotiation]:
    """We are to receive over an association that we ask for (PS3.7 D.3.3.4)."""
    return [build_role(sop_class, scp_role=True) for sop_class in (*IMAGES, *OTHERS)]


def finish(answers: Iterable[tuple[Dataset, Dataset | None]], ae_title: str) -> None:
    """Wait for the end of a retrieval; its last answer counts what failed (PS3.4 C.4.2.1).

    Raises
    ------
    NotRetrieved
        The archive cannot send all of it, as objects that went to tape.
    PeerUnreachable, AssociationRejected
        Any other status that is no success.
    """
    last = Dataset()
    for last, _ in answers:
        code = last.get("Status")
        if code == UNABLE or (code is not None and code >> 12 == 0xC):
            raise NotRetrieved(f"{ae_title} cannot send it (0x{code:04X})")
        check_status(last, ae_title)
    failed = last.get("NumberOfFailedSuboperations") or 0
    if failed:
        raise NotRetrieved(f"{ae_title} failed to send {counted(failed, 'instance')}")


@contextmanager
def listening(ae: AE, listener: Listener, inbox: Inbox) -> Iterator[None]:
    """Be a Storage SCP while a C-MOVE runs.

    Parameters
    ----------
    ae : AE
        Ours; takes objects that are sent to its own title only.
    listener : Listener
        Where to listen.
    inbox : Inbox
        What arrives goes there.

    Raises
    ------
    PeerUnreachable
        The port is taken.
    """
    ae.require_called_aet = True
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), [*UNCOMPRESSED, *COMPRESSED])
    handlers: list[Any] = [(evt.EVT_C_STORE, inbox.store)]
    where = (listener.host, listener.port)
    try:
        server: Any = ae.start_server(where, block=False, evt_handlers=handlers)
    except OSError as error:
        raise PeerUnreachable(f"port {listener.port} cannot be listened on here") from error
    try:
        yield
    finally:
        server.shutdown()
