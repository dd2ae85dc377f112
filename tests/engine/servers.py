"""An engine's server on loopback, and clients of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from engine.protocol import ReportEngine
from engine.serving.client import RemoteEngine
from engine.serving.server import make_app
from tests.waiting import eventually


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application on a free port; yields the URL."""
    config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert eventually(lambda: server.started)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def remote(engine: ReportEngine, **options: Any) -> Iterator[RemoteEngine]:
    """A client of a server around an engine."""
    with serving(make_app(engine, **options)) as url, closing_client(url) as client:
        yield client


@contextmanager
def closing_client(*urls: str, **options: Any) -> Iterator[RemoteEngine]:
    client = RemoteEngine(*urls, **options)
    try:
        yield client
    finally:
        client.close()
