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

_FOR_EVER = "public, max-age=31536000, immutable"
"""For files in `assets`: their names change with what is in them. 31,536,000 s are a year."""


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
            found = await super().get_response(path, scope)
            if Path(path).parts[:1] == ("assets",):
                found.headers["Cache-Control"] = _FOR_EVER
            return found
        except HTTPException as error:
            if error.status_code != 404 or _PAGES.isdisjoint(Path(path).parts[:1]):
                raise
            return await super().get_response("index.html", scope)
