"""Archives that behave as some do: a PACS by DIMSE and a server by DICOMweb, each with oddities.

Without an option both keep what they are sent, and show it at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicom_io.archives.association import paced
from tests.web import answering

SUCCESS, PENDING = 0x0000, 0xFF00
Rename = Callable[[str], str]


@dataclass
class Oddity:
    """What an archive does otherwise than it should.

    Parameters
    ----------
    answers : sequence of int
        Statuses of the first requests to store; the last one holds for all that follow.
    keeps : bool
        Whether an object is kept that is accepted.
    keeps_refused : bool
        Whether an object is kept that is not accepted.
    hides : int
        How many looks pass before it shows what it keeps; -1: every one.
    lags : int
        How many searches by DICOMweb it answers with 404, before its index knows the study.
    slow_s : float
        How long it takes to answer a request to store.
    lets_go : bool
        The association ends after the object, without an answer.
    coerces : bool
        An object gets another SOP Instance UID.
    finds : bool
        Whether it can be searched.
    refuses_images : bool
        Whether it refuses searches at IMAGE level.
    knows_us : bool
        Whether our AE title is known.
    patient_id, patient_name : callable
        How it writes them.
    ct : bool
        Whether it has the CT of the study.
    body : str, optional
        What it says to a request to store, in place of JSON.
    failure : int, optional
        The failure reason that it gives for every object.
    classes : sequence of str
        Which storage classes it has; all without it.
    commits : bool
        Whether it commits itself to what it keeps.
    calls_back : int, optional
        The port where it reports on commitment; without one, on the association of the request.
    """

    answers: tuple[int, ...] = (SUCCESS,)
    keeps: bool = True
    keeps_refused: bool = False
    hides: int = 0
    lags: int = 0
    slow_s: float = 0.0
    lets_go: bool = False
    coerces: bool = False
    finds: bool = True
    refuses_images: bool = False
    knows_us: bool = True
    patient_id: Rename = str
    patient_name: Rename = str
    ct: bool = True
    body: str | None = None
    failure: int | None = None
    classes: tuple[str, ...] = ()
    commits: bool = True
    calls_back: int | None = None
    sent: int = 0
    looks: int = 0
    held: list[Dataset] = field(default_factory=list)

    def take(self, header: Dataset) -> int:
        """Answer a request to store."""
        status = self.answers[min(self.sent, len(self.answers) - 1)]
        self.sent += 1
        refused = status in REFUSALS or self.failure is not None
        if self.keeps_refused if refused else self.keeps:
            kept = deepcopy(header)
            if self.coerces:
                kept.SOPInstanceUID = generate_uid()
            kept.PatientID = self.patient_id(str(header.PatientID))
            kept.PatientName = self.patient_name(str(header.PatientName))
            self.held.append(kept)
        time.sleep(self.slow_s)
        return status

    def find(self, level: str, query: Dataset) -> Iterator[Dataset]:
        """Answer a search: reports as they are, and the study with its CT."""
        if level != "STUDY":
            self.looks += 1
        if level == "SERIES" and "Modality" in query:
            if self.ct:
                yield answer(level, "CT", SeriesInstanceUID="1.2.3", number=40)
            return
        shown = self.held if level == "STUDY" or 0 <= self.hides < self.looks else []
        for one in shown[:1]:
            wanted = str(query.get("SOPInstanceUID", ""))
            if level != "IMAGE" or wanted == one.SOPInstanceUID:
                yield answer(level, "SR", number=1, **{key: one[key].value for key in KEYS})

    def report(self, assoc: Any, request: Dataset) -> None:
        """Say what is kept of a request for commitment (PS3.4 J.3.3)."""
        held = {one.SOPInstanceUID for one in self.held} if self.commits else set()
        items = request.ReferencedSOPSequence
        information = Dataset()
        information.TransactionUID = request.TransactionUID
        kept = [one for one in items if one.ReferencedSOPInstanceUID in held]
        if kept:
            information.ReferencedSOPSequence = kept
        failed = [deepcopy(one) for one in items if one not in kept]
        for one in failed:
            one.FailureReason = 0x0112
        if failed:
            information.FailedSOPSequence = failed
        assoc.send_n_event_report(
            information,
            2 if failed else 1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )

    def call_back(self, port: int, request: Dataset) -> None:
        ae = AE("ARCHIVE")
        ae.add_requested_context(StorageCommitmentPushModel)
        roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
        assoc = paced(ae.associate("127.0.0.1", port, ae_title="CTSCRIBE", ext_neg=roles))
        if assoc.is_established:
            self.report(assoc, request)
            assoc.release()


REFUSALS = {0x0110, 0x0124, 0xA700, 0xA900, 0xC000, 400, 401, 500, 503}
KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "PatientName")


def answer(level: str, modality: str, number: int, **values: Any) -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.QueryRetrieveLevel = level
    made.Modality = modality
    made.NumberOfSeriesRelatedInstances = number
    for key, value in values.items():
        setattr(made, key, value)
    return made


@contextmanager
def odd_pacs(odd: Oddity) -> Iterator[int]:
    """Run a PACS called ARCHIVE on loopback; yields its port."""

    def store(event: Any) -> int:
        status = odd.take(event.dataset)
        if odd.lets_go:
            event.assoc.abort()
        return status

    def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        if odd.refuses_images and query.QueryRetrieveLevel == "IMAGE":
            yield 0xA900, None
            return
        for one in odd.find(query.QueryRetrieveLevel, query):
            yield PENDING, one

    ae = AE("ARCHIVE")

    callers: list[threading.Thread] = []

    def promise(event: Any) -> tuple[int, None]:
        if odd.calls_back is None:
            # After the answer to the request
            threading.Timer(0.2, odd.report, [event.assoc, event.action_information]).start()
        else:
            request = event.action_information
            caller = threading.Thread(target=odd.call_back, args=[odd.calls_back, request])
            callers.append(caller)
            caller.start()
        return SUCCESS, None

    every = [str(one.abstract_syntax) for one in AllStoragePresentationContexts]
    for sop_class in odd.classes or every:
        ae.add_supported_context(sop_class)
    ae.add_supported_context(Verification)
    if odd.finds:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    if not odd.knows_us:
        ae.require_calling_aet = ["SOMEBODY"]
    ae.add_supported_context(StorageCommitmentPushModel)
    handlers: list[Any] = [
        (evt.EVT_C_STORE, store),
        (evt.EVT_C_FIND, find),
        (evt.EVT_N_ACTION, promise),
    ]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.server_address[1]
    finally:
        for caller in callers:
            caller.join()
        server.shutdown()


@contextmanager
def odd_web(odd: Oddity, report: Path) -> Iterator[str]:
    """Run a DICOMweb server on loopback that is sent one report; yields its URL."""
    header = dcmread(report)

    def respond(request: str) -> httpx.Response:
        method, path = request.split()
        if method == "POST":
            return _stored(odd, odd.take(header) or 200)
        odd.lags -= 1
        if not odd.finds or odd.lags >= 0:
            return httpx.Response(404)
        found = [one.to_json_dict() for one in odd.find(*_asked(path))]
        return httpx.Response(200, json=found)

    with answering(respond) as url:
        yield url


def _stored(odd: Oddity, status: int) -> httpx.Response:
    if odd.body is not None:
        return httpx.Response(status, text=odd.body)
    if odd.failure is None:
        return httpx.Response(status, json={})
    failed = {"00081197": {"vr": "US", "Value": [odd.failure]}}
    return httpx.Response(status, json={"00081198": {"vr": "SQ", "Value": [failed]}})


def _asked(path: str) -> tuple[str, Dataset]:
    """Read a query of QIDO-RS: its level, and the instance that it names."""
    query, url = Dataset(), httpx.URL(path)
    if url.path.endswith("/instances"):
        query.SOPInstanceUID = url.params["SOPInstanceUID"]
        return "IMAGE", query
    if url.path.endswith("/series"):
        if "SeriesInstanceUID" not in url.params:
            query.Modality = ""
        return "SERIES", query
    return "STUDY", query
