"""The demo: the whole service on this machine, with a phantom for a patient."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from rich.console import Console
from sqlalchemy import select

from dicom_io.archives.dimse import Dimse
from dicom_io.errors import CtscribeError, PluginError
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from plugin.assembly import passing_sessions
from plugin.commands.administrator.status import print_timeline
from plugin.commands.demonstration.archive import running_archive
from plugin.commands.demonstration.page import show_page
from plugin.console import say
from plugin.settings import Settings, load_settings
from plugin.state.database import SessionFactory
from plugin.state.tables import DeliveryState, Draft, JobState, Study
from plugin.supervisor import CTSCRIBE
from reporting.objects.render import report_text

# Many times what the whole way takes, so that a slow machine gets there, too
PATIENCE_S = 300.0
ARCHIVE = "ARCHIVE"


def run_demo(output: Path, seed: int, *, browse: bool = False) -> None:
    """Send a phantom study through the whole service, and show the draft.

    Parameters
    ----------
    output : Path
        Emptied first; keeps the study, the spool, the archive and the service's log.
    seed : int
        Which phantom.
    browse : bool
        Whether to end with the draft's page in a browser, and stay until Ctrl-C.

    Raises
    ------
    PluginError
        `output` holds something else, or the draft did not reach the archive.
    """
    _empty(output)
    steps = _Steps()
    with steps.timed(f"write phantom study {seed} as DICOM"):
        series = write_study(make_phantom(seed, matrix=160), output / "study")
    with running_archive(output / "archive", ae_title=ARCHIVE) as archive_port:
        settings = load_settings(_configuration(output, archive_port))
        receiver = _receiver(settings)
        with running_service(output) as service:
            with steps.timed("start the service"):
                wait_for(service, lambda: _answers(receiver))
            with steps.timed("send the study by C-STORE"):
                receiver.store(*sorted(series.iterdir()))
            with passing_sessions(settings) as sessions:
                with steps.timed("wait for the quiet period, the draft and the proof of delivery"):
                    wait_for(service, lambda: _proved(settings, sessions) is not None)
                study = _show(settings, sessions, output)
            if browse:
                show_page(service, settings.web.port, study, wait_for)


class _Steps:
    """Shows what is going on, and how long each step took."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        with self.console.status(name):
            yield
        self.console.print(f"done in {time.monotonic() - started:5.1f} s: {name}")


def _empty(output: Path) -> None:
    if output.exists():
        if any(output.iterdir()) and not (output / "ctscribe.toml").exists():
            raise PluginError(f"{output} is not empty and no earlier demo: choose another -o")
        shutil.rmtree(output)
    output.mkdir(parents=True)


def _configuration(output: Path, archive_port: int) -> Path:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port, web_port = one.getsockname()[1], other.getsockname()[1]
    path = output / "ctscribe.toml"
    path.write_text(
        f"""\
[receiver]
port = {port}

[completeness]
quiet_s = 2.0

[storage]
spool = "spool"
floor_mb = 100

[worker]
poll_s = 0.2

[[destinations]]
name = "archive"
kind = "dimse"
host = "127.0.0.1"
port = {archive_port}
ae_title = "{ARCHIVE}"

[web]
enabled = true
port = {web_port}
loopback_without_login = true
""",
        "utf-8",
    )
    return path


@contextmanager
def running_service(output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service of a demo for the length of a `with` block."""
    with (output / "service.log").open("wb") as log:
        command = [*CTSCRIBE, "serve", "-c", str(output / "ctscribe.toml")]
        service = subprocess.Popen(command, stderr=log)
        try:
            yield service
        finally:
            service.terminate()
            service.wait()


def wait_for(service: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises
    ------
    PluginError
        The service ended, or it took too long.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if service.poll() is not None or time.monotonic() > deadline:
            raise PluginError("the service did not get there; see service.log beside the study")
        time.sleep(0.1)


def _receiver(settings: Settings) -> Dimse:
    receiver = settings.receiver
    return Dimse(receiver.host, receiver.port, receiver.ae_title, calling_ae_title="DEMO")


def _answers(receiver: Dimse) -> bool:
    try:
        receiver.check()
    except CtscribeError:
        return False
    return True


def _proved(settings: Settings, sessions: SessionFactory) -> Path | None:
    """Return the draft's file in the spool once its delivery is proved."""
    with sessions() as session:
        draft = session.scalar(select(Draft).where(Draft.is_current))
        study = session.scalar(select(Study))
        failed = study is not None and any(job.state == JobState.FAILED for job in study.jobs)
        if failed:
            raise PluginError("the service gave the study up; see service.log beside the study")
        if draft is None or any(d.state != DeliveryState.PROVED for d in draft.deliveries):
            return None
        return settings.storage.spool / draft.path


def _show(settings: Settings, sessions: SessionFactory, output: Path) -> str:
    """Print the draft, and return its StudyInstanceUID."""
    path = _proved(settings, sessions)
    if path is None:
        raise PluginError("the draft is no longer proved at the archive")
    sr = dcmread(path)
    say(f"\n{report_text(sr)}\n")
    print_timeline(settings.storage.database_url, str(sr.StudyInstanceUID), as_json=False)
    say(f"\nSR in the archive: {output / 'archive' / path.name}")
    say(f"truth of the phantom: {output / 'study' / 'truth.json'}")
    return str(sr.StudyInstanceUID)
