"""The built pages: one document for every page, and the files that it names."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

_PAGES = frozenset({"sign-in", "study", "admin"})
"""First words of the addresses that are pages; all others are files, or nothing."""


def built_pages() -> Path | None:
    """Return the folder of the built pages, where there is one."""
    folder = Path(str(files("plugin.web") / "static"))
    return folder if (folder / "index.html").is_file() else None


def pages(folder: Path) -> ASGIApp:
    """Serve a folder of built files, compressed; its `index.html` is every page."""
    return GZipMiddleware(_Pages(directory=folder, html=True))


class _Pages(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or _PAGES.isdisjoint(Path(path).parts[:1]):
                raise
            return await super().get_response("index.html", scope)
