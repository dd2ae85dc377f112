from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.uid import BasicTextSRStorage, CTImageStorage

from dicom_io.archives.tls import Tls
from engine.fake import FakeEngine
from engine.serving.server import make_app
from plugin.cli import main
from plugin.commands import trial
from plugin.commands.demonstration.archive import running_archive
from plugin.reception.receiver import running_receiver
from plugin.state.completeness import Patience
from plugin.state.database import open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.running.pulse import Pulse
from reporting.objects.render import report_text
from tests.certificates import Authority
from tests.engine.servers import serving
from tests.odd_archives import Oddity, odd_pacs
from tests.plugin.clocks import set_host_clock
from tests.ports import free_port


@pytest.fixture
def examine(tmp_path: Path):
    def examine(text: str = "", *arguments: str) -> Result:
        config = tmp_path / "ctscribe.toml"
        engine, receiver = '[engine]\nmodel = "fake"\n', f"[receiver]\nport = {free_port()}\n"
        sections = engine, receiver, f"[metrics]\nport = {free_port()}\n"
        parts = [part for part in sections if part.split("\n")[0] not in text]
        config.write_text("".join(parts) + text)
        return CliRunner().invoke(main, ["doctor", "-c", str(config), *arguments])

    return examine


def test_a_sound_installation_passes(examine):
    result = examine()
    assert result.exit_code == 0
    assert "FAIL" not in result.stdout
    assert "drafts stay in the spool" in result.stdout


def test_json_is_one_object(examine):
    findings = json.loads(examine("", "--json").stdout)["findings"]
    assert [f["check"] for f in findings] == [
        "spool",
        "database",
        "receiver",
        "metrics",
        "model",
        "destinations",
    ]


def test_a_full_disk_is_found(examine):
    result = examine("[storage]\nfloor_mb = 99999999999\n")
    assert result.exit_code == 1
    assert "free disk space" in result.stdout


def test_a_database_that_does_not_answer_is_found(examine):
    result = examine('[storage]\ndatabase = "postgresql://127.0.0.1:1/none"\n')
    assert result.exit_code == 1
    assert "FAIL  database" in result.stdout


def test_a_clock_that_differs_from_the_databases_is_found(examine, postgres, monkeypatch):
    with postgres.database() as name:
        settings = f'[storage]\ndatabase = "{postgres.url(name)}"\n'
        assert "ok    clock: 0.0 s" in examine(settings).stdout
        set_host_clock(monkeypatch, timedelta(seconds=45))
        result = examine(settings)
    assert result.exit_code == 1
    assert "FAIL  clock: 45.0 s ahead of the database's" in result.stdout


def test_a_database_whose_folder_cannot_be_made_is_told_with_the_path(examine, tmp_path):
    (tmp_path / "file").touch()
    result = examine(f'[storage]\ndatabase = "sqlite:///{tmp_path}/file/ctscribe.db"\n')
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "FAIL database" in said
    assert "file" in said
    assert "make the folder writable" in said


def test_a_channel_of_alarms_without_its_secret_is_found(examine):
    channel = '[[alarms.channels]]\nname = "chat"\nkind = "webhook"\nurl_env = "NO_SUCH_HOOK"\n'
    result = examine(channel)
    assert result.exit_code == 1
    assert "FAIL  alarms to chat: the environment variable NO_SUCH_HOOK" in result.stdout


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_an_audit_repository_that_does_not_answer_is_found(examine, transport):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        port = free.getsockname()[1]
        result = examine(
            '[[audit.repositories]]\nname = "arr"\nhost = "127.0.0.1"\n'
            f'port = {port}\ntransport = "{transport}"\n'
        )
    assert result.exit_code == 1
    assert "FAIL  audit trail to arr" in result.stdout


def test_a_model_that_is_not_there_is_found(examine):
    result = examine('[engine]\nmodel = "nowhere"\n')
    assert result.exit_code == 1
    assert "FAIL  model" in result.stdout


def test_models_beside_the_first_are_tried_by_name(examine):
    models = (
        '[[models]]\nname = "good"\nmodel = "fake"\n[[models]]\nname = "gone"\nmodel = "nowhere"\n'
    )
    result = examine(f'[engine]\nmodel = "fake"\n{models}')
    assert "ok    model good: fake" in result.stdout
    assert "FAIL  model gone" in result.stdout


def test_a_receiver_that_nobody_may_send_to_is_found(examine):
    result = examine(f'[receiver]\nhost = "0.0.0.0"\nport = {free_port()}\n')
    assert result.exit_code == 1
    assert "receiver.peers" in result.stdout


@pytest.mark.parametrize("section", ["hl7", "metrics", "web"])
def test_a_port_that_another_program_has_is_found(examine, section):
    free = f"[{section}]\nenabled = true\nport = {free_port()}\n"
    assert f"ok    {section}: 127.0.0.1:" in examine(free).stdout
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"[{section}]\nenabled = true\nport = {other.getsockname()[1]}\n"
        result = examine(taken)
    assert result.exit_code == 1
    assert f"FAIL  {section}: 127.0.0.1:" in result.stdout
    assert f"set another port in [{section}]" in result.stdout


def test_a_listener_that_does_not_listen_is_found(examine, tmp_path):
    door = f"[hl7]\nenabled = true\nport = {free_port()}\n"
    (tmp_path / "spool").mkdir()
    with closing(Pulse(tmp_path / "spool", "upkeep")):
        result = examine(door + '[storage]\nspool = "spool"\n')
    assert result.exit_code == 1
    assert "nobody listens, though its process runs" in result.stdout


def test_a_running_receiver_answers(examine, tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    patience = Patience(timedelta(hours=1), timedelta(hours=2))
    spool = Spool(tmp_path / "other")
    with running_receiver(session_factory(engine), spool, patience=patience) as port:
        result = examine(f"[receiver]\nport = {port}\n")
    engine.dispose()
    assert result.exit_code == 0
    assert f"127.0.0.1:{port}: answers" in result.stdout


def destination(port: int) -> str:
    return (
        '[[destinations]]\nname = "pacs"\nkind = "dimse"\nhost = "127.0.0.1"\n'
        f'port = {port}\nae_title = "ARCHIVE"\n'
    )


def test_a_destination_that_answers_passes(examine, tmp_path):
    with running_archive(tmp_path / "archive") as port:
        result = examine(destination(port))
    assert result.exit_code == 0
    assert "destination pacs" in result.stdout


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (Oddity(finds=False), "cannot be searched: ARCHIVE does not offer"),
        (Oddity(refuses_images=True), "refuses C-FIND at IMAGE level"),
        (Oddity(knows_us=False), "AE title not recognised"),
        (Oddity(classes=(CTImageStorage,)), "takes no draft"),
    ],
)
def test_a_destination_that_would_not_do_is_found(examine, odd, said):
    with odd_pacs(odd) as port:
        result = examine(destination(port))
    assert result.exit_code == 1
    assert said in result.stdout


def test_the_forms_that_a_destination_takes_are_named(examine):
    with odd_pacs(Oddity(classes=(BasicTextSRStorage,))) as port:
        result = examine(destination(port))
    assert result.exit_code == 0
    assert "dimse: answers, takes Basic Text SR, can be searched" in result.stdout


def test_a_destination_that_cannot_be_searched_may_owe_no_proof(examine):
    with odd_pacs(Oddity(finds=False)) as port:
        result = examine(destination(port) + 'proof = "none"\n')
    assert result.exit_code == 0
    assert "no proof is wanted" in result.stdout


def test_a_test_report_is_delivered_proved_and_to_be_deleted(examine, tmp_path):
    with running_archive(tmp_path / "archive") as port:
        result = examine(destination(port), "--send")
    (kept,) = (dcmread(path) for path in (tmp_path / "archive").iterdir())
    assert result.exit_code == 0, result.stdout
    assert f"delete patient CTSCRIBE-TEST, study {kept.StudyInstanceUID} there" in result.stdout
    assert (kept.PatientID, kept.PatientName) == ("CTSCRIBE-TEST", "TEST^CTSCRIBE")
    assert "to be deleted" in report_text(kept)


def test_a_test_report_is_removed_where_that_can_be(examine, orthanc):
    result = examine(
        f'[[destinations]]\nname = "rest"\nkind = "orthanc"\nurl = "{orthanc.url}"\n', "--send"
    )
    assert result.exit_code == 0, result.stdout
    assert "showed it; removed again" in result.stdout
    assert orthanc.get("/dicom-web/studies?PatientID=CTSCRIBE-TEST") == []


def test_a_test_report_that_is_not_shown_is_told(examine, monkeypatch):
    monkeypatch.setattr(trial, "PATIENCE_S", 0.0)
    with odd_pacs(Oddity(keeps=False)) as port:
        result = examine(destination(port), "--send")
    assert result.exit_code == 1
    assert "did not show it" in result.stdout


def test_a_destination_that_does_not_answer_is_found(examine):
    result = examine(destination(free_port()))
    assert result.exit_code == 1
    assert "FAIL  destination pacs" in result.stdout


def test_an_hl7_destination_that_does_not_answer_has_neither_ae_title_nor_credentials(examine):
    ris = f'name = "ris"\nkind = "hl7"\nhost = "127.0.0.1"\nport = {free_port()}\n'
    result = examine(f"[[destinations]]\n{ris}")
    assert "check host and port" in result.stdout
    assert "AE title" not in result.stdout


def test_processes_are_told_dead_from_alive(examine, tmp_path):
    spool = tmp_path / "ctscribe-spool"
    (spool / "processes").mkdir(parents=True)
    (spool / "processes" / "receive.4@elsewhere").touch()
    with closing(Pulse(spool, "work")):
        result = examine()
    assert result.exit_code == 1
    assert "FAIL  process: receive (process 4 on elsewhere) dead" in result.stdout
    assert f"ok    process: work (process {os.getpid()} on" in result.stdout


def test_a_receiver_on_every_address_of_both_kinds_is_asked(examine, tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'other' / 'ctscribe.db'}")
    patience = Patience(timedelta(hours=1), timedelta(hours=2))
    with running_receiver(
        session_factory(engine), Spool(tmp_path / "other"), patience=patience, host="::"
    ) as port:
        result = examine(f'[receiver]\nhost = "::"\nport = {port}\n')
    engine.dispose()
    assert f":::{port}: answers" in result.stdout


def test_a_certificate_that_expires_soon_is_found(examine, tmp_path):
    soon = Authority(tmp_path / "tls").issue(until=datetime.now(UTC) + timedelta(days=5))
    result = examine(receiver_with(soon, free_port()))
    assert result.exit_code == 1
    assert f"FAIL  certificate receiver: {soon.certificate}: valid until" in result.stdout
    assert f"ok    certificate receiver: {soon.authorities}: valid until" in result.stdout
    assert "renew the certificate" in result.stdout


def test_a_receiver_with_tls_is_asked_over_tls(examine, tmp_path):
    tls = Authority(tmp_path / "tls").issue("receiver.example")
    sessions = session_factory(open_database(f"sqlite:///{tmp_path / 'tls.db'}"))
    patience = Patience.of_seconds(60, 600)
    with running_receiver(sessions, Spool(tmp_path / "spool"), patience=patience, tls=tls) as port:
        result = examine(receiver_with(tls, port))
    assert f"ok    receiver: CTSCRIBE at 127.0.0.1:{port}: answers" in result.stdout


def receiver_with(tls: Tls, port: int) -> str:
    files = {"certificate": tls.certificate, "key": tls.key, "authorities": tls.authorities}
    table = "".join(f'{key} = "{path}"\n' for key, path in files.items())
    return f"[receiver]\nport = {port}\n[receiver.tls]\n{table}"


def test_every_host_of_an_engine_is_asked_and_must_have_the_same_model(examine):
    other = FakeEngine()
    other._identity = replace(other._identity, digest="2" * 64)
    nobody = f"http://127.0.0.1:{free_port()}"
    with serving(make_app(FakeEngine())) as first, serving(make_app(other)) as second:
        result = examine(f'[engine]\nurl = ["{first}", "{second}", "{nobody}"]\n')
    assert result.exit_code == 1
    assert f"ok    model: {first}: " in result.stdout
    assert f"FAIL  model: {second}: " in result.stdout
    assert f"FAIL  model: {nobody} does not answer" in result.stdout
