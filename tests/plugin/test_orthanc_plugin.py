"""The plugin in a real Orthanc; the assistant is a Storage SCP of the test."""

from __future__ import annotations

import json
import runpy
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt

from plugin.settings import Settings
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.ports import free_port
from tests.repository import ROOT
from tests.waiting import eventually

Start = Callable[[], AbstractContextManager[RunningOrthanc]]


class Assistant:
    """What arrived: how often each SOP Instance UID came under each called AE title."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: Counter[tuple[str, str]] = Counter()
        self.status = 0x0000

    def keep(self, event: evt.Event) -> int:
        called = event.assoc.requestor.primitive.called_ae_title
        if self.status == 0x0000:
            self.received[called, event.request.AffectedSOPInstanceUID] += 1
        return self.status

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE("CTSCRIBE")
        ae.supported_contexts = AllStoragePresentationContexts
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
    return lambda: running_orthanc(tmp_path / "orthanc", python=True, DicomModalities=modalities)


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    study, series = generate_uid(), generate_uid()
    return [write_slice(tmp_path / "study", study, series=series) for _ in range(3)]


def upload(orthanc: RunningOrthanc, *paths: Path) -> str:
    return str([orthanc.upload(path)["ParentStudy"] for path in paths][-1])


def state(orthanc: RunningOrthanc, study: str) -> Any:
    return orthanc.get(f"/ctscribe/studies/{study}/draft")


def forwarded(orthanc: RunningOrthanc, study: str, instances: int = 3) -> Any:
    def holds() -> bool:
        now = state(orthanc, study)
        return bool(now["state"] == "forwarded" and now["instances"] == instances)

    return eventually(holds)


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
