import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_io.errors import AssociationRejected, PeerUnreachable, UnusableData
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.ports import free_port
from tests.training.site.studies import (
    SPEC,
    Patient,
    report_rows,
    wanted,
    write_archive,
    write_study,
    write_table,
)
from training.data.store import open_store
from training.site.prepare import prepare_site
from training.site.sources.archives import PASSWORD, USER, open_archive
from training.site.sources.source import Query

PATIENTS = [Patient(number) for number in range(1, 5)]
KINDS = ("orthanc", "dicomweb", "get", "move")


@contextmanager
def archive(folder: Path, **changes) -> Iterator[tuple[RunningOrthanc, int]]:
    """An Orthanc that lets CTSCRIBE query, get and move to a port here."""
    port = free_port()
    peer = {"AET": "CTSCRIBE", "Host": "127.0.0.1", "Port": port}
    allowed = {f"Allow{what}": True for what in ("Echo", "Find", "Get", "Move", "Store")}
    with running_orthanc(
        folder, DicomModalities={"ctscribe": peer | allowed}, **changes
    ) as orthanc:
        yield orthanc, port


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    folder = write_archive(tmp_path_factory.mktemp("studies"), PATIENTS)
    write_study(folder / "mr", Patient(9), Modality="MR")
    return folder


@pytest.fixture(scope="module")
def orthanc(studies, tmp_path_factory) -> Iterator[tuple[RunningOrthanc, int]]:
    with archive(tmp_path_factory.mktemp("orthanc")) as running:
        for path in sorted(studies.rglob("*.IMA")):
            running[0].upload(path)
        yield running


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "r.csv", report_rows(PATIENTS))


def address(kind: str, running: RunningOrthanc, listen: int) -> str:
    pacs = f"dimse://ORTHANC@127.0.0.1:{running.dicom_port}?calling=CTSCRIBE"
    return {
        "orthanc": f"orthanc+{running.url}",
        "dicomweb": f"dicomweb+{running.url}/dicom-web",
        "get": pacs,
        "move": f"{pacs}&listen=127.0.0.1:{listen}",
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_the_same_data_set_as_the_folder(kind, orthanc, studies, table, tmp_path):
    work = tmp_path / "work"
    prepare_site(wanted(studies, table), tmp_path / "folder", work, accept_all=True)
    for record in (work / "records").iterdir():
        record.unlink()
    source = open_archive(address(kind, *orthanc))
    again = wanted(studies, table, source=source, source_name=kind)
    outcome = prepare_site(again, tmp_path / "archive", work, accept_all=True)
    assert (outcome.seen, outcome.taken, outcome.rejected) == (4, 4, {})
    for path in (tmp_path / "folder").rglob("*"):
        if path.is_file():
            other = tmp_path / "archive" / path.relative_to(tmp_path / "folder")
            assert other.read_bytes() == path.read_bytes()
    assert len(open_store(tmp_path / "archive", SPEC).images) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_lists_the_days_that_are_asked_for(kind, orthanc):
    query = Query(PATIENTS[1].day, PATIENTS[2].day)
    found = list(open_archive(address(kind, *orthanc)).studies(query))
    assert [study.accession_number for study in found] == [p.accession for p in PATIENTS[1:3]]
    assert [study.patient_id for study in found] == [p.id for p in PATIENTS[1:3]]


@pytest.mark.parametrize("kind", KINDS)
# pynetdicom leaves the socket of a refused connection to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_nobody_listening_is_one_clear_line(kind):
    port = free_port()
    names = {
        "orthanc": f"orthanc+http://127.0.0.1:{port}",
        "dicomweb": f"dicomweb+http://127.0.0.1:{port}/dicom-web",
        "get": f"dimse://PACS@127.0.0.1:{port}",
        "move": f"dimse://PACS@127.0.0.1:{port}?listen={free_port()}",
    }
    with pytest.raises(PeerUnreachable, match="does not answer"):
        list(open_archive(names[kind]).studies(Query()))


def test_a_wrong_root_is_one_clear_line(orthanc):
    with pytest.raises(AssociationRejected, match="refuses with 404"):
        list(open_archive(f"orthanc+{orthanc[0].url}/wrong").studies(Query()))


def test_credentials_come_from_the_environment(tmp_path, monkeypatch):
    users = {"RegisteredUsers": {"u": "p"}, "AuthenticationEnabled": True}
    with archive(tmp_path, credentials=("u", "p"), **users) as (running, _):
        for kind, root in (("orthanc", ""), ("dicomweb", "/dicom-web")):
            name = f"{kind}+{running.url}{root}"
            with pytest.raises(AssociationRejected, match="refuses with 401"):
                list(open_archive(name).studies(Query()))
            with monkeypatch.context() as environment:
                environment.setenv(USER, "u")
                environment.setenv(PASSWORD, "p")
                assert list(open_archive(name).studies(Query())) == []


def test_an_unknown_title_is_one_clear_line(orthanc):
    name = f"dimse://ORTHANC@127.0.0.1:{orthanc[0].dicom_port}?calling=STRANGER"
    with pytest.raises((AssociationRejected, PeerUnreachable), match="ORTHANC"):
        list(open_archive(name).studies(Query()))


def test_a_taken_port_is_one_clear_line(orthanc, studies, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        name = address("move", orthanc[0], taken.getsockname()[1])
        source = open_archive(name)
        (study, *_) = source.studies(Query())
        with pytest.raises(PeerUnreachable, match="cannot be listened on"):
            source.fetch(study, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "/nowhere",
        "http://127.0.0.1:8042",
        "orthanc+ftp://a",
        "dicomweb+https://",
        "dimse://127.0.0.1:104",
        "dimse://@127.0.0.1:104",
        "dimse://A@b:104?unknown=1",
        "dimse://A@b:104?listen=x",
        "orthanc+http://user:secret@127.0.0.1",
    ],
)
def test_an_address_that_is_none_is_refused(name):
    with pytest.raises(UnusableData) as refusal:
        open_archive(name)
    assert "secret" not in str(refusal.value)


def test_the_list_is_kept_for_the_next_run(orthanc, studies, table, tmp_path):
    source = open_archive(address("get", *orthanc))
    first = wanted(studies, table, source=source, source_name="get")
    prepare_site(first, tmp_path / "out", tmp_path / "work")
    listed = json.loads((tmp_path / "work" / "studies.json").read_text())
    assert len(listed["studies"]) == 4
