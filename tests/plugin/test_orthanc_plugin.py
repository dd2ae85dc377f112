"""The plugin in a real Orthanc; the assistant is a Storage SCP of the test."""

from __future__ import annotations

import json
import runpy
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification
from sqlalchemy import select

from plugin.assembly import destination
from plugin.commands.files import content
from plugin.reception.association.pdata import WHOLE
from plugin.reception.receiver import running_receiver
from plugin.sections.destinations import OrthancDestination
from plugin.settings import Settings
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Job
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.ports import free_port
from tests.repository import ROOT
from tests.waiting import eventually

Start = Callable[..., AbstractContextManager[RunningOrthanc]]
# Of no test's assistant: a scanner's own class beside its slices
PRIVATE_CLASS = "1.2.826.0.1.3680043.8.498.99"
PASSWORD = {"AuthenticationEnabled": True, "RegisteredUsers": {"ctscribe": "${CTSCRIBE_TEST}"}}


class Assistant:
    """What arrived: how often each SOP Instance UID came under each called AE title."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: Counter[tuple[str, str]] = Counter()
        self.status = 0x0000
        self.refused: set[str] = set()
        self.announced: set[tuple[str, int]] = set()

    def keep(self, event: evt.Event) -> int:
        called = event.assoc.requestor.primitive.called_ae_title
        if event.request.AffectedSOPInstanceUID in self.refused:
            return 0xC000
        if self.status == 0x0000:
            self.received[called, event.request.AffectedSOPInstanceUID] += 1
            title = event.request.MoveOriginatorApplicationEntityTitle
            self.announced.add((title, event.request.MoveOriginatorMessageID))
        return self.status

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE("CTSCRIBE")
        ae.supported_contexts = AllStoragePresentationContexts
        ae.add_supported_context(Verification)
        handlers: list[Any] = [(evt.EVT_C_STORE, self.keep)]
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            server.shutdown()

    def times(self, path: Path, called: str = "CTSCRIBE") -> int:
        return self.received[called, path.stem]


@pytest.fixture
def assistant() -> Assistant:
    return Assistant()


@pytest.fixture
def start(tmp_path: Path, assistant: Assistant) -> Start:
    modalities = {
        "ctscribe": ["CTSCRIBE", "127.0.0.1", assistant.port],
        "ctscribe-again": ["CTSCRIBE_AGAIN", "127.0.0.1", assistant.port],
    }
    script = impatient(tmp_path)

    def started(**changes: Any) -> AbstractContextManager[RunningOrthanc]:
        settled = {"DicomModalities": modalities, "PythonScript": str(script)} | changes
        return running_orthanc(tmp_path / "orthanc", python=True, **settled)

    return started


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    study, series = generate_uid(), generate_uid()
    return [write_slice(tmp_path / "study", study, series=series) for _ in range(3)]


def impatient(folder: Path, most_refusals: int = 30) -> Path:
    """The plugin, but it tries again after half a second, and gives up when a test says so."""
    text = (ROOT / "plugin" / "orthanc_plugin.py").read_text()
    for usual, other in (
        ("FIRST_PAUSE_S = 10.0", "FIRST_PAUSE_S = 0.5"),
        ("MOST_REFUSALS = 30", f"MOST_REFUSALS = {most_refusals}"),
    ):
        assert usual in text
        text = text.replace(usual, other)
    script = folder / "impatient.py"
    script.write_text(text)
    return script


def write_private(folder: Path, beside: Path) -> Path:
    """Write an object of a private class into the series of a slice."""
    dataset = dcmread(beside)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = PRIVATE_CLASS
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path)
    return path


def upload(orthanc: RunningOrthanc, *paths: Path) -> str:
    return str([orthanc.upload(path)["ParentStudy"] for path in paths][-1])


def state(orthanc: RunningOrthanc, study: str) -> Any:
    return orthanc.get(f"/ctscribe/studies/{study}/draft")


def forwarded(orthanc: RunningOrthanc, study: str, instances: int = 3) -> Any:
    def holds() -> bool:
        now = state(orthanc, study)
        return bool(now["state"] == "forwarded" and now["instances"] == instances)

    eventually(holds)
    return state(orthanc, study)


def stable(orthanc: RunningOrthanc, study: str, folder: Path) -> Path:
    """Wait until the study is stable again and the plugin has seen it.

    Orthanc reports one change after another: once a later study was forwarded, all before it were
    seen. Returns the one slice of that study.
    """
    eventually(lambda: orthanc.get(f"/studies/{study}")["IsStable"])
    later = write_slice(folder / "later", generate_uid())
    forwarded(orthanc, upload(orthanc, later), instances=1)
    return later


def test_a_stable_ct_study_is_forwarded_once(
    start: Start, assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    with assistant.listening(), start() as orthanc:
        study = upload(orthanc, *slices)
        forwarded(orthanc, study)
        stable(orthanc, study, tmp_path)
    assert [assistant.times(path) for path in slices] == [1, 1, 1]


def test_the_draft_coming_back_is_not_forwarded_and_starts_nothing(
    start: Start, assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    with assistant.listening(), start() as orthanc:
        study = upload(orthanc, *slices)
        forwarded(orthanc, study)
        report = write_report(
            tmp_path, orthanc.get(f"/studies/{study}")["MainDicomTags"]["StudyInstanceUID"]
        )
        assert upload(orthanc, report) == study
        later = stable(orthanc, study, tmp_path)
    assert assistant.received == Counter(("CTSCRIBE", path.stem) for path in (*slices, later))


def test_a_study_without_ct_is_not_forwarded(
    start: Start, assistant: Assistant, tmp_path: Path
) -> None:
    with assistant.listening(), start() as orthanc:
        study = upload(orthanc, write_report(tmp_path, generate_uid()))
        later = stable(orthanc, study, tmp_path)
        asked = httpx.post(f"{orthanc.url}/ctscribe/studies/{study}/draft")
        assert state(orthanc, study) == {"state": "not forwarded"}
    assert assistant.received == Counter([("CTSCRIBE", later.stem)])
    assert asked.status_code == 409


def test_late_slices_bring_the_study_again(
    start: Start, assistant: Assistant, slices: list[Path]
) -> None:
    with assistant.listening(), start() as orthanc:
        forwarded(orthanc, upload(orthanc, *slices[:2]), instances=2)
        forwarded(orthanc, upload(orthanc, slices[2]))
    assert assistant.times(slices[2]) == 1


def test_a_restart_forwards_nothing_again(
    start: Start, assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    with assistant.listening():
        with start() as orthanc:
            study = upload(orthanc, *slices)
            forwarded(orthanc, study)
            orthanc.stop()
        with start() as orthanc:
            upload(orthanc, slices[0])
            stable(orthanc, study, tmp_path)
            assert state(orthanc, study)["state"] == "forwarded"
    assert [assistant.times(path) for path in slices] == [1, 1, 1]


def test_a_study_that_was_not_yet_stable_when_orthanc_was_killed_is_forwarded(
    start: Start, assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    with assistant.listening():
        with start() as orthanc:
            first = upload(orthanc, write_slice(tmp_path / "first", generate_uid()))
            forwarded(orthanc, first, instances=1)
            study = upload(orthanc, *slices)
            orthanc.process.kill()
        with start() as orthanc:
            forwarded(orthanc, study)
    assert all(assistant.times(path) for path in slices)


def test_a_study_is_kept_until_the_assistant_is_there(
    start: Start, assistant: Assistant, slices: list[Path]
) -> None:
    with start() as orthanc:
        study = upload(orthanc, *slices)
        eventually(lambda: state(orthanc, study).get("attempts"))
        with assistant.listening():
            forwarded(orthanc, study)


def test_a_study_whose_forwarding_failed_is_sent_after_a_restart(
    start: Start, assistant: Assistant, slices: list[Path]
) -> None:
    with start() as orthanc:
        study = upload(orthanc, *slices)
        eventually(lambda: state(orthanc, study).get("attempts"))
        orthanc.process.kill()
    with assistant.listening(), start() as orthanc:
        forwarded(orthanc, study)


def test_a_refusing_assistant_is_asked_again(
    start: Start, assistant: Assistant, slices: list[Path]
) -> None:
    assistant.status = 0xA700
    with assistant.listening(), start() as orthanc:
        study = upload(orthanc, *slices)
        eventually(lambda: state(orthanc, study).get("attempts"))
        assistant.status = 0x0000
        forwarded(orthanc, study)


def test_an_object_that_is_refused_keeps_no_slice_out_and_is_named_once(
    start: Start, assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    script = str(impatient(tmp_path, most_refusals=3))
    with assistant.listening(), start(PythonScript=script) as orthanc:
        private = orthanc.upload(write_private(tmp_path, slices[0]))["ID"]
        study = upload(orthanc, *slices)
        assert forwarded(orthanc, study, instances=4)["left"] == [private]
        log = orthanc.log()
    assert all(assistant.times(path) for path in slices)
    assert log.count(f"1 of 4 instances of {study} are refused: {private}") == 1
    assert PRIVATE_CLASS in log


def test_what_was_refused_is_sent_alone_once_the_assistant_takes_it(
    start: Start, assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    with assistant.listening(), start() as orthanc:
        assistant.refused = {slices[1].stem}
        study = upload(orthanc, *slices)
        eventually(lambda: state(orthanc, study).get("left"))
        before = assistant.times(slices[0])
        assert before >= 1
        assistant.refused = set()
        assert forwarded(orthanc, study)["left"] == []
    assert assistant.times(slices[1]) == 1
    assert assistant.times(slices[0]) == before


def test_every_slice_says_how_many_there_are(
    start: Start, assistant: Assistant, slices: list[Path]
) -> None:
    with assistant.listening(), start() as orthanc:
        forwarded(orthanc, upload(orthanc, *slices))
    assert assistant.announced == {(WHOLE, 3)}


def test_the_assistant_waits_for_nothing_more(
    sessions: SessionFactory, spool: Spool, slices: list[Path], tmp_path: Path
) -> None:
    patience = Patience(timedelta(hours=1), timedelta(hours=2))
    with running_receiver(sessions, spool, patience=patience) as port:
        changes = {"DicomModalities": {"ctscribe": ["CTSCRIBE", "127.0.0.1", port]}}
        with running_orthanc(tmp_path / "orthanc", python=True, **changes) as orthanc:
            forwarded(orthanc, upload(orthanc, *slices))
    with sessions() as session:
        assert session.scalars(select(Job)).one().deadline <= datetime.now(UTC)


def test_a_password_on_orthanc_is_nothing_to_the_plugin(
    start: Start, assistant: Assistant, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTSCRIBE_TEST", "only in this test")
    credentials = ("ctscribe", "only in this test")
    with assistant.listening(), start(credentials=credentials, **PASSWORD) as orthanc:
        study = upload(orthanc, *slices)
        forwarded(orthanc, study)
        unknown = httpx.get(f"{orthanc.url}/ctscribe/studies/{study}/draft")
        monkeypatch.setenv("CTSCRIBE_ORTHANC", ":".join(credentials))
        table = {"name": "orthanc", "kind": "orthanc", "url": orthanc.url}
        known = OrthancDestination(**table, credentials_env="CTSCRIBE_ORTHANC")
        destination(known).archive.check()
    assert [assistant.times(path) for path in slices] == [1, 1, 1]
    assert unknown.status_code == 401


def test_the_configuration_works_from_any_folder(
    assistant: Assistant, slices: list[Path], tmp_path: Path
) -> None:
    script = json.loads(content("orthanc.json"))["PythonScript"]
    modalities = {"ctscribe": ["CTSCRIBE", "127.0.0.1", assistant.port]}
    changes = {"DicomModalities": modalities, "PythonScript": script}
    started = running_orthanc(tmp_path / "new", python=True, start_in=tmp_path, **changes)
    with assistant.listening(), started as orthanc:
        forwarded(orthanc, upload(orthanc, *slices))
        httpx.get(f"{orthanc.url}/dicom-web/studies").raise_for_status()


def test_the_route_asks_for_a_draft_again(
    start: Start, assistant: Assistant, slices: list[Path]
) -> None:
    with assistant.listening(), start() as orthanc:
        study = upload(orthanc, *slices)
        forwarded(orthanc, study)
        asked = orthanc.post(f"/ctscribe/studies/{study}/draft")
        assert (asked["state"], asked["again"]) == ("forwarding", True)
        forwarded(orthanc, study)
    assert [assistant.times(path, "CTSCRIBE_AGAIN") for path in slices] == [1, 1, 1]
    assert [assistant.times(path) for path in slices] == [1, 1, 1]


def test_the_route_knows_only_studies(start: Start) -> None:
    nothing = "-".join(["0" * 8] * 5)
    with start() as orthanc:
        route = f"{orthanc.url}/ctscribe/studies/{nothing}/draft"
        assert httpx.get(route).status_code == 404
        assert httpx.post(route).status_code == 404
        assert httpx.delete(route).status_code == 405


def test_a_deleted_study_is_forgotten(start: Start, slices: list[Path], tmp_path: Path) -> None:
    with start() as orthanc:
        study = upload(orthanc, *slices)
        eventually(lambda: state(orthanc, study).get("attempts"))
        assert httpx.delete(f"{orthanc.url}/studies/{study}").is_success
        assert httpx.get(f"{orthanc.url}/ctscribe/studies/{study}/draft").status_code == 404
        later = upload(orthanc, write_slice(tmp_path / "later", generate_uid()))
        eventually(lambda: state(orthanc, later).get("attempts"))
        assert "traceback" not in orthanc.log()


def test_the_configuration_and_the_assistants_defaults_agree() -> None:
    configuration = json.loads((ROOT / "orthanc.json").read_text())
    receiver = Settings().receiver
    assert configuration["DefaultEncoding"] == "Utf8"
    assert configuration["DicomModalities"] == {
        "ctscribe": [receiver.ae_title, "127.0.0.1", receiver.port],
        "ctscribe-again": [receiver.redraft_ae_title, "127.0.0.1", receiver.port],
    }


def test_orthanc_answers_only_its_own_machine_over_http() -> None:
    configuration = json.loads((ROOT / "orthanc.json").read_text())
    assert configuration["RemoteAccessAllowed"] is False
    assert not configuration["DicomAlwaysAllowFind"]
    assert not configuration["DicomAlwaysAllowMove"]
    assert not configuration["DicomAlwaysAllowGet"]


def test_weeks_of_failures_do_not_end_the_attempts(monkeypatch) -> None:
    """Orthanc is away from this process: the file needs no more than its module's name to load."""
    monkeypatch.setitem(sys.modules, "orthanc", MagicMock())
    pause_s = runpy.run_path(str(ROOT / "plugin" / "orthanc_plugin.py"))["pause_s"]
    assert [pause_s(attempts) for attempts in (0, 1, 2, 20, 10_000)] == [10, 20, 40, 3600, 3600]


def test_what_the_log_quotes_of_an_object_is_harmless(monkeypatch):
    fake = ModuleType("orthanc")
    fake.OrthancException = RuntimeError
    fake.RestApiGet = lambda _: b"1.2\x1b[2J\n\xff"
    monkeypatch.setitem(sys.modules, "orthanc", fake)
    text = (ROOT / "plugin" / "orthanc_plugin.py").read_text()
    names = {}
    exec(text[: text.index("class Forwarder")], names)
    assert names["described"]("abc") == "abc (SOP class 1.2\\x1b[2J\\n\\xff)"
