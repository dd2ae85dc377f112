"""OHIF from npm in front of an Orthanc, and a headless Chromium that looks at it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.repository import ROOT
from tests.services import require

VERSION = "3.13.2"
CHROMIUM = "/usr/bin/chromium"
CONFIGURATION = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "archive",
                "name": "archive",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "wadoUriRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
            },
        }
    ],
}


def unpacked() -> Path:
    """Return the folder of OHIF's pages; fetched from npm once."""
    require(shutil.which("npm") is not None, "npm")
    require(Path(CHROMIUM).is_file(), "Chromium")
    folder = ROOT / "build" / f"ohif-{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        packing = ["npm", "pack", "--silent", f"@ohif/app@{VERSION}"]
        done = subprocess.run(
            packing, cwd=folder.parent, capture_output=True, text=True, timeout=300
        )
        require(done.returncode == 0, "@ohif/app on npm")
        archive = folder.parent / done.stdout.strip().splitlines()[-1]
        unfinished = folder.with_suffix(".part")
        with tarfile.open(archive) as packed:
            packed.extractall(unfinished, filter="data")
        unfinished.rename(folder)
        archive.unlink()
    return folder / "package" / "dist"


class _Pages(SimpleHTTPRequestHandler):
    """OHIF's files, its one page for every other address, and DICOMweb by way of Orthanc."""

    def __init__(self, *arguments: object, orthanc: str, **options: object) -> None:
        self.orthanc = orthanc
        super().__init__(*arguments, **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/app-config.js":
            text = f"window.config = {json.dumps(CONFIGURATION)};"
            self._answer(200, "text/javascript", text.encode())
        elif path.startswith("/dicom-web/"):
            asked = {"Accept": self.headers.get("Accept", "*/*")}
            got = httpx.get(f"{self.orthanc}{self.path}", headers=asked, timeout=60)
            self._answer(got.status_code, got.headers.get("Content-Type", ""), got.content)
        else:
            if not Path(self.translate_path(self.path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def _answer(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running_ohif(orthanc: str) -> Iterator[str]:
    """Serve OHIF on a free port, with the studies of an Orthanc; yields the URL."""
    handler = partial(_Pages, orthanc=orthanc, directory=str(unpacked()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
