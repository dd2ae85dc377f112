"""DIMSE client: C-ECHO, C-STORE, C-FIND, C-GET and C-MOVE, Study Root (PS3.4 A, B and C)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dicom_io.archives.answers import DUPLICATE
from dicom_io.archives.association import (
    PATIENCE,
    TIMEOUTS,
    UNCOMPRESSED,
    Timeouts,
    application_entity,
    associated,
    check_status,
    find,
    identifier,
)
from dicom_io.archives.patients.identity import Person, identities_of
from dicom_io.archives.patients.studies import MOST, PatientStudies, patient_keys, read_answers
from dicom_io.archives.proving.commitment import WAIT_S, Mailbox, ask
from dicom_io.archives.proving.inventory import (
    REPORT_KEYS,
    STUDY_KEYS,
    WANTED,
    ct_inventory,
    held_series,
)
from dicom_io.archives.proving.proof import Found, InstanceReference, counted, held
from dicom_io.archives.retrieval import (
    Inbox,
    Listener,
    finish,
    listening,
    storage_contexts,
    storage_roles,
)
from dicom_io.archives.tls import Tls
from dicom_io.errors import SopClassRefused

# Names in a query and its answers may be of any script (PS3.4 C.2.2.2)
UTF_8 = {"SpecificCharacterSet": "ISO_IR 192"}
# An abstract syntax with transfer syntaxes; None leaves them to pynetdicom
Contexts = Iterable[tuple[UID, list[UID] | None]]


@dataclass(frozen=True)
class Dimse:
    """An archive reached by DIMSE.

    Parameters
    ----------
    host, port : str, int
        Where it listens.
    ae_title, calling_ae_title : str
        Its title, and ours.
    listener : Listener, optional
        With one, studies are fetched by C-MOVE to it; without, by C-GET.
    timeouts : Timeouts
        Of all verbs but `search` and `fetch`, which have `PATIENCE`.
    counts : bool
        An instance is found by the number of instances of its series: some archives answer no
        query at IMAGE level.
    tls : Tls, optional
        Certificates; without them the line is plain.
    """

    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "CTSCRIBE"
    listener: Listener | None = None
    timeouts: Timeouts = TIMEOUTS
    counts: bool = False
    tls: Tls | None = None

    def store(self, *paths: Path) -> None:
        """Store instances by C-STORE, all over one association (PS3.4 B.2).

        Each is sent in its own transfer syntax, or the other uncompressed one.
        """
        with self._associated(_storage_contexts_of(paths)) as assoc:
            for path in paths:
                status = assoc.send_c_store(dcmread(path))
                if status.get("Status") != DUPLICATE:
                    check_status(status, self.ae_title, "C-STORE")

    def find(self, reference: InstanceReference) -> Found:
        """Look for an instance by C-FIND, and for the patient of its study (PS3.4 C.6.2.1).

        The instance is asked for at IMAGE level; the patient at STUDY level, where every archive
        must answer with PatientID and PatientName.
        """
        study = reference.study_instance_uid
        answers, patients = self._answers(
            _one_series(reference) if self.counts else _one_image(reference),
            identifier("STUDY", **UTF_8, StudyInstanceUID=study, PatientID="", PatientName=""),
        )
        count = counted if self.counts else held
        return Found(count(answers, reference), identities_of(patients, study))

    def count(self, study_instance_uid: str) -> dict[str, int]:
        """Ask for NumberOfSeriesRelatedInstances of each CT series by C-FIND."""
        (series,) = self._answers(_series_of(study_instance_uid))
        return ct_inventory(series)

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """List the objects of each SR series by C-FIND at IMAGE level."""
        (answers,) = self._answers(_series_of(study_instance_uid))
        queries = [
            identifier(
                "IMAGE",
                StudyInstanceUID=study_instance_uid,
                SeriesInstanceUID=series.series_instance_uid,
                **dict.fromkeys(REPORT_KEYS, ""),
            )
            for series in held_series(answers, ("SR",))
        ]
        return [one for series in self._answers(*queries) for one in series] if queries else []

    def search(self, dates: str, modality: str) -> list[Dataset]:
        """List studies by C-FIND, day by day where it can be: archives cap long answers."""
        keys = {**UTF_8, **dict.fromkeys(STUDY_KEYS, ""), "ModalitiesInStudy": modality}
        queries = [identifier("STUDY", **keys | {"StudyDate": day}) for day in _days(dates)]
        return [study for day in self._answers(*queries, timeouts=PATIENCE) for study in day]

    def studies_of(self, person: Person) -> PatientStudies:
        """List the studies of a patient by C-FIND; what goes on for too long is ended."""
        query = identifier("STUDY", **UTF_8, **patient_keys(person))
        with self._associated([(StudyRootQueryRetrieveInformationModelFind, None)]) as assoc:
            answers = list(islice(find(assoc, query, self.ae_title), MOST))
            if len(answers) == MOST:
                assoc.abort()
        return read_answers(person, answers)

    def fetch(
        self, study_instance_uid: str, folder: Path, modalities: Collection[str] = WANTED
    ) -> None:
        """Get a study by C-GET or C-MOVE, series after series (PS3.4 C.4.2 and C.4.3).

        Parameters as `Archive.fetch`.
        """
        (answers,) = self._answers(_series_of(study_instance_uid), timeouts=PATIENCE)
        for series in held_series(answers, modalities):
            inbox = Inbox(folder, study_instance_uid)
            uid = series.series_instance_uid
            wanted = identifier(
                "SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID=uid
            )
            if self.listener is None:
                self._get(wanted, inbox)
            else:
                self._move(wanted, inbox, self.listener)
            series.check(len(inbox.received))

    def takes(self, *sop_classes: str) -> frozenset[str]:
        """Negotiate storage classes, and send nothing (PS3.8 7.1.1.13)."""
        contexts = [(UID(one), list(UNCOMPRESSED)) for one in sop_classes]
        with self._associated(contexts) as assoc:
            return frozenset(str(one.abstract_syntax) for one in assoc.accepted_contexts)

    def remove(self, study_instance_uid: str) -> bool:
        """Do nothing: DIMSE has no service that removes."""
        return False

    def commit(self, path: Path, transaction_uid: str) -> bool | None:
        """Ask whether the peer will keep a stored instance (PS3.4 J); None if it calls back."""
        header, mailbox = dcmread(path, stop_before_pixels=True), Mailbox()
        contexts: Contexts = [(StorageCommitmentPushModel, None)]
        with self._associated(contexts, evt_handlers=mailbox.handlers) as assoc:
            ask(assoc, header, transaction_uid, self.ae_title)
            mailbox.arrived.wait(WAIT_S)
        if mailbox.report is None or mailbox.report.transaction_uid != transaction_uid:
            return None
        return str(header.SOPInstanceUID) in mailbox.report.committed

    def check(self) -> None:
        """Verify that the peer answers C-ECHO (PS3.4 A.4)."""
        with self._associated([(Verification, None)]) as assoc:
            check_status(assoc.send_c_echo(), self.ae_title)

    def _get(self, wanted: Dataset, inbox: Inbox) -> None:
        model = StudyRootQueryRetrieveInformationModelGet
        arriving = {"ext_neg": storage_roles(), "evt_handlers": [(evt.EVT_C_STORE, inbox.store)]}
        contexts = [*storage_contexts(), (model, None)]
        with self._associated(contexts, PATIENCE, **arriving) as assoc:
            if model not in {one.abstract_syntax for one in assoc.accepted_contexts}:
                raise SopClassRefused(f"{self.ae_title} gives nothing by C-GET")
            finish(assoc.send_c_get(wanted, model), self.ae_title)

    def _move(self, wanted: Dataset, inbox: Inbox, listener: Listener) -> None:
        model = StudyRootQueryRetrieveInformationModelMove
        ours = application_entity(self.calling_ae_title, PATIENCE)
        associated = self._associated([(model, None)], PATIENCE)
        with listening(ours, listener, inbox), associated as assoc:
            finish(assoc.send_c_move(wanted, self.calling_ae_title, model), self.ae_title)

    def _answers(self, *queries: Dataset, timeouts: Timeouts | None = None) -> list[list[Dataset]]:
        """Ask one query after the other over one association."""
        model = StudyRootQueryRetrieveInformationModelFind
        with self._associated([(model, None)], timeouts) as assoc:
            return [list(find(assoc, query, self.ae_title)) for query in queries]

    def _associated(
        self, contexts: Contexts, timeouts: Timeouts | None = None, **negotiation: Any
    ) -> AbstractContextManager[Association]:
        ae = application_entity(self.calling_ae_title, timeouts or self.timeouts)
        for abstract_syntax, transfer_syntaxes in contexts:
            ae.add_requested_context(abstract_syntax, transfer_syntaxes)
        return associated(ae, self.host, self.port, self.ae_title, self.tls, **negotiation)


def _storage_contexts_of(paths: Iterable[Path]) -> Iterator[tuple[UID, list[UID]]]:
    """A context for each kind of object; the uncompressed syntaxes stand in for one another."""
    for sop_class, syntax in sorted({_kind_of(path) for path in paths}):
        uncompressed = syntax in (*UNCOMPRESSED, DeflatedExplicitVRLittleEndian)
        yield sop_class, list(UNCOMPRESSED) if uncompressed else [syntax]


def _kind_of(path: Path) -> tuple[UID, UID]:
    header = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    return UID(header.SOPClassUID), UID(header.file_meta.TransferSyntaxUID)


def _one_image(reference: InstanceReference) -> Dataset:
    return identifier(
        "IMAGE",
        StudyInstanceUID=reference.study_instance_uid,
        SeriesInstanceUID=reference.series_instance_uid,
        SOPInstanceUID=reference.sop_instance_uid,
    )


def _one_series(reference: InstanceReference) -> Dataset:
    return identifier(
        "SERIES",
        StudyInstanceUID=reference.study_instance_uid,
        SeriesInstanceUID=reference.series_instance_uid,
        NumberOfSeriesRelatedInstances=None,
    )


def _series_of(study_instance_uid: str) -> Dataset:
    asked = {"SeriesInstanceUID": "", "Modality": "", "NumberOfSeriesRelatedInstances": None}
    return identifier("SERIES", StudyInstanceUID=study_instance_uid, **asked)


def _days(dates: str) -> list[str]:
    """Each day of a range with two ends; any other range as it is."""
    ends = dates.split("-")
    if len(ends) != 2 or not all(ends):
        return [dates]
    first, last = (datetime.strptime(end, "%Y%m%d") for end in ends)
    return [f"{first + timedelta(days=n):%Y%m%d}" for n in range((last - first).days + 1)]
