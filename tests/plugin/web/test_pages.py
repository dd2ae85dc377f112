"""Every page is the one document; nothing beside the built files is served."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plugin.web.pages import pages


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / "secret.txt").write_text("secret")
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("the page")
    (built / "assets" / "page.js").write_text("1;" * 5000)
    app = FastAPI()
    app.mount("/", pages(built))
    return TestClient(app)


@pytest.mark.parametrize("path", ["/", "/sign-in", "/study/1.2.3", "/admin/queue"])
def test_every_page_is_the_one_document(client: TestClient, path: str) -> None:
    assert client.get(path).text == "the page"


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/assets/none.js", "/..%2fsecret.txt", "/study/..%2f..%2fsecret.txt"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert "secret" not in answer.text
    assert answer.status_code == 404 or answer.text == "the page"


def test_files_are_compressed_and_asked_for_once(client: TestClient) -> None:
    headers = client.get("/assets/page.js").headers
    assert headers["content-encoding"] == "gzip"
    assert "immutable" in headers["cache-control"]
    assert "cache-control" not in client.get("/").headers
