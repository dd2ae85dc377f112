"""A hub on loopback with one repository at one commit, as Hugging Face's client asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx

from tests.web import answering

REPO, COMMIT = "owner/model", "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """Serve a folder as `REPO`, at `COMMIT` and on its branch main; yields HF_ENDPOINT."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def answer(request: str) -> httpx.Response:
        path = request.partition(" ")[2].partition("?")[0]
        if path == f"/api/models/{REPO}/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in files.items()
            ]
            return httpx.Response(200, json=tree)
        if path in (f"/api/models/{REPO}", f"/api/models/{REPO}/revision/main"):
            return httpx.Response(200, json={"id": REPO, "sha": COMMIT, "siblings": []})
        name = path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")
        if name not in files:
            code = "EntryNotFound" if path.startswith(f"/{REPO}/") else "RepoNotFound"
            return httpx.Response(404, json={}, headers={"X-Error-Code": code})
        headers = {
            "Content-Length": str(len(files[name])),
            "ETag": f'"{sha256(files[name]).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
        }
        content = b"" if request.startswith("HEAD") else files[name]
        return httpx.Response(200, content=content, headers=headers)

    with answering(answer) as url:
        yield url
