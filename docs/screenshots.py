"""Take the pictures of the reading room: a real service, synthetic patients, a real browser."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import Page, ViewportSize, sync_playwright
from pydicom import dcmread

from dicom_io.archives.dimse import Dimse
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from plugin.commands.demonstration.archive import running_archive
from plugin.supervisor import CTSCRIBE

IMAGES = Path(__file__).with_name("images")
PASSWORD = "a synthetic password"  # noqa: S105  of a service that lives for a minute
# A laptop of 2015; the pages are also looked at on large screens, but pictures of these are heavy
SIZE: ViewportSize = {"width": 1366, "height": 768}
# Many times what the drafts take
PATIENCE_S = 300.0

# Nobody's names. Seed, name, birth date, sex, description, priority
PATIENTS = [
    (7, "EXAMPLE^ADA", "19580412", "F", "CT chest and abdomen", "STAT"),
    (8, "SAMPLE^BRUNO", "19710903", "M", "CT chest, follow-up", "HIGH"),
    (9, "SPECIMEN^CARLA", "19640120", "F", "CT abdomen with contrast", "ROUTINE"),
    (10, "MUSTER^DIRK", "19831107", "M", "CT chest", "ROUTINE"),
]

SETTINGS = """\
[receiver]
port = {receiver}
[completeness]
quiet_s = 2.0
[storage]
floor_mb = 0
[web]
enabled = true
port = {web}
[[destinations]]
name = "archive"
kind = "dimse"
host = "127.0.0.1"
port = {archive}
ae_title = "ARCHIVE"
"""


def main() -> None:
    """Write all pictures into docs/images."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        archive = stack.enter_context(running_archive(folder / "archive"))
        receiver, address = stack.enter_context(running_service(folder, archive))
        for number, patient in enumerate(PATIENTS):
            send(folder, receiver, number, *patient)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        take_all(browser.new_page(viewport=SIZE, locale="en-GB", base_url=address))


@contextmanager
def running_service(folder: Path, archive: int) -> Iterator[tuple[int, str]]:
    """Run `ctscribe serve`; yields the receiver's port and the address of the pages."""
    receiver, web = free_port(), free_port()
    settings = folder / "ctscribe.toml"
    settings.write_text(SETTINGS.format(receiver=receiver, web=web, archive=archive), "utf-8")
    person = ["users", "add", "rey", "--display-name", "Dr. Rey", "--role", "radiologist"]
    roles = ["--role", "administrator", "-c", str(settings)]
    subprocess.run([*CTSCRIBE, *person, *roles], input=f"{PASSWORD}\n", text=True, check=True)
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen([*CTSCRIBE, "serve", "-c", str(settings)], stderr=log)
        address = f"http://127.0.0.1:{web}"
        try:
            wait_for(lambda: answers(address))
            yield receiver, address
        finally:
            service.terminate()
            service.wait()


def send(
    folder: Path, port: int, number: int, seed: int, name: str, born: str, sex: str, *about: str
) -> None:
    """Send a phantom under another name."""
    series = write_study(make_phantom(seed, matrix=128), folder / str(seed))
    for path in series.iterdir():
        image = dcmread(path)
        image.PatientName, image.PatientID = name, f"EX{100 + number}"
        image.PatientBirthDate, image.PatientSex = born, sex
        image.AccessionNumber = f"EX-2026-{number + 1:03d}"
        image.StudyDescription, image.RequestedProcedurePriority = about
        image.save_as(path)
    Dimse("127.0.0.1", port, "CTSCRIBE", calling_ae_title="CT").store(*sorted(series.iterdir()))


def take_all(page: Page) -> None:
    """Sign in, and go through the pages as a reader does."""
    page.goto("/")
    page.get_by_label("Name").fill("rey")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    rows = page.locator("tbody tr")
    rows.nth(len(PATIENTS) - 1).wait_for(timeout=1000 * PATIENCE_S)
    page.keyboard.press("j")
    take(page, "worklist")
    page.keyboard.press("Enter")
    sentence = page.locator("[data-sentence]")
    sentence.first.wait_for()
    page.locator(".viewer[data-sop-instance]").wait_for(timeout=1000 * PATIENCE_S)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    take(page, "study")


def take(page: Page, name: str) -> None:
    # Images come after the page, and say nothing when they are there
    page.wait_for_timeout(3000)
    page.screenshot(path=IMAGES / f"{name}.png")


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/session").is_success
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service did not get there")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
