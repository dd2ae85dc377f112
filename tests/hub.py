"""A hub on loopback: one repository, one commit."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

REPO, COMMIT = "owner/model", "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """Serve a folder as `REPO`, at `COMMIT` and on its branch main; yields HF_ENDPOINT."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.respond(body=False)

        def do_GET(self) -> None:
            self.respond(body=True)

        def respond(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            print(self.command, self.path)
            if path.startswith(f"/api/models/{REPO}/tree/"):
                return self.send(json.dumps(self.tree()).encode(), body=body)
            if path.startswith(f"/api/models/{REPO}"):
                return self.send(json.dumps(self.info()).encode(), body=body)
            name = path.rpartition("/")[2]
            if path.startswith(f"/{REPO}/resolve/") and (folder / name).is_file():
                return self.send((folder / name).read_bytes(), body=body)
            return self.send(b"{}", body=body, status=404)

        def info(self) -> dict:
            names = sorted(path.name for path in folder.iterdir())
            return {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}

        def tree(self) -> list:
            return [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": "0" * 40}
                for p in sorted(folder.iterdir())
            ]

        def send(self, content: bytes, *, body: bool, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
