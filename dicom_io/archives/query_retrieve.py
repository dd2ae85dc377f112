"""Query/Retrieve SCU: find studies on a PACS, and get them by C-GET or C-MOVE (PS3.4 C.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_io.archives.dimse import (
    UNCOMPRESSED,
    Timeouts,
    application_entity,
    associated,
    check_status,
    find,
)
from dicom_io.archives.retrieval import STUDY_KEYS, SeriesReference, wanted_series
from dicom_io.errors import NotRetrieved, PeerUnreachable

IMAGES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
# What else lies in series of modality CT or SR: reports, captures, documents, presentations
_FAMILIES = ("88", "7", "104", "11", "66")
_STORAGE = "1.2.840.10008.5.1.4.1.1."
OTHERS = tuple(
    sop_class
    for sop_class in sorted(UID(str(c.abstract_syntax)) for c in AllStoragePresentationContexts)
    if sop_class.startswith(_STORAGE)
    and sop_class.removeprefix(_STORAGE).partition(".")[0] in _FAMILIES
)
COMPRESSED = (
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
    JPEGBaseline8Bit,
)
PATIENCE = Timeouts(dimse_s=600.0)
"""An archive may have to fetch a series from tape before it answers."""

SUCCESS, REFUSED = 0x0000, 0x0124


@dataclass(frozen=True)
class Listener:
    """Where C-MOVE is to send to: the archive must know our title at this address."""

    host: str
    port: int


@dataclass(frozen=True)
class Archive:
    """A PACS that can be queried.

    Parameters
    ----------
    host, port : str, int
        Where it listens.
    called_ae_title, calling_ae_title : str
        Its title, and ours.
    listener : Listener, optional
        With one, studies are fetched by C-MOVE to it; without, by C-GET.
    """

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    listener: Listener | None = None
    timeouts: Timeouts = PATIENCE

    def find_studies(self, date_ranges: Iterable[str], modality: str) -> Iterator[Dataset]:
        """List studies by C-FIND, one query for each range of dates (PS3.4 C.6.2.1).

        Raises
        ------
        PeerUnreachable
            No connection, no answer, or a refusal that may pass.
        AssociationRejected
            The peer refuses the association or the query.
        """
        ae = application_entity(self.calling_ae_title, self.timeouts)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        with self._associated(ae) as assoc:
            for dates in date_ranges:
                query = Dataset()
                query.SpecificCharacterSet = "ISO_IR 192"
                query.QueryRetrieveLevel = "STUDY"
                for keyword in STUDY_KEYS:
                    setattr(query, keyword, "")
                query.StudyDate = dates
                query.ModalitiesInStudy = modality
                yield from find(assoc, query, self.called_ae_title)

    def fetch(self, study_instance_uid: str, folder: Path) -> None:
        """Get the CT images and reports of a study, series after series.

        Raises
        ------
        NotRetrieved
            The archive does not give all that it says it holds.
        PeerUnreachable, AssociationRejected
            As above.
        """
        for series in self._series(study_instance_uid):
            inbox = _Inbox(folder, study_instance_uid)
            if self.listener:
                self._move(series, inbox, self.listener)
            else:
                self._get(series, inbox)
            series.check(len(inbox.received))

    def _series(self, study_instance_uid: str) -> list[SeriesReference]:
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID = study_instance_uid
        query.SeriesInstanceUID = ""
        query.Modality = ""
        query.NumberOfSeriesRelatedInstances = None
        ae = application_entity(self.calling_ae_title, self.timeouts)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        with self._associated(ae) as assoc:
            return wanted_series(find(assoc, query, self.called_ae_title), study_instance_uid)

    def _get(self, series: SeriesReference, inbox: _Inbox) -> None:
        ae = application_entity(self.calling_ae_title, self.timeouts)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
        for sop_class, syntax in _storage_contexts():
            ae.add_requested_context(sop_class, syntax)
        roles = [build_role(sop_class, scp_role=True) for sop_class in (*IMAGES, *OTHERS)]
        arriving = {"ext_neg": roles, "evt_handlers": [(evt.EVT_C_STORE, inbox.store)]}
        with self._associated(ae, **arriving) as assoc:
            model = StudyRootQueryRetrieveInformationModelGet
            _finish(assoc.send_c_get(_identifier(series), model), self.called_ae_title)

    def _move(self, series: SeriesReference, inbox: _Inbox, listener: Listener) -> None:
        ae = application_entity(self.calling_ae_title, self.timeouts)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
        with _listening(self, listener, inbox), self._associated(ae) as assoc:
            answers = assoc.send_c_move(
                _identifier(series),
                self.calling_ae_title,
                StudyRootQueryRetrieveInformationModelMove,
            )
            _finish(answers, self.called_ae_title)

    def _associated(self, ae: AE, **negotiation: Any) -> Any:
        return associated(ae, self.host, self.port, self.called_ae_title, **negotiation)


class _Inbox:
    """Keeps what arrives of one study in a folder, under numbers."""

    def __init__(self, folder: Path, study_instance_uid: str) -> None:
        self.folder, self.study_instance_uid = folder, study_instance_uid
        self.received: set[str] = set()

    def store(self, event: Any) -> int:
        """Store an instance (PS3.4 C.4.3.2), but none of another study."""
        content = event.encoded_dataset()
        header = dcmread(BytesIO(content), specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
        if header.get("StudyInstanceUID") != self.study_instance_uid:
            return REFUSED
        uid = str(header.SOPInstanceUID)
        if uid not in self.received:
            number = len(list(self.folder.iterdir()))
            (self.folder / f"{number:06d}.dcm").write_bytes(content)
            self.received.add(uid)
        return SUCCESS


def _storage_contexts() -> Iterator[tuple[UID, list[UID]]]:
    """A context for each encoding, as the archive sends what it holds as it is."""
    for sop_class in (*IMAGES, *OTHERS):
        yield sop_class, list(UNCOMPRESSED)
    for sop_class in IMAGES:
        for syntax in COMPRESSED:
            yield sop_class, [syntax]


def _identifier(series: SeriesReference) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID = series.study_instance_uid
    identifier.SeriesInstanceUID = series.series_instance_uid
    return identifier


def _finish(answers: Iterable[tuple[Dataset, Dataset | None]], called_ae_title: str) -> None:
    """Wait for the end of a retrieval; its last answer counts what failed (PS3.4 C.4.2.1)."""
    last = Dataset()
    for last, _ in answers:
        code = last.get("Status")
        # PS3.4 C.4.2.1.5: unable to perform sub-operations, as for objects that went to tape
        if code == 0xA702 or (code is not None and code >> 12 == 0xC):
            raise NotRetrieved(f"{called_ae_title} cannot send it (0x{code:04X})")
        check_status(last, called_ae_title)
    failed = last.get("NumberOfFailedSuboperations") or 0
    if failed:
        raise NotRetrieved(f"{called_ae_title} failed to send {failed} instances")


@contextmanager
def _listening(archive: Archive, listener: Listener, inbox: _Inbox) -> Iterator[None]:
    """Be a Storage SCP while a C-MOVE runs."""
    ae = application_entity(archive.calling_ae_title, archive.timeouts)
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
