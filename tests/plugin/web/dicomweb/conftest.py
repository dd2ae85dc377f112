"""DICOMweb on loopback, over a spool and a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from fastapi import FastAPI, Request
from fastapi.params import Depends

from plugin.state.audit import Who
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import Refused, answer_refused
from plugin.web.dicomweb.routes import dicomweb_router
from plugin.web.dicomweb.stow import Storing
from tests.engine.servers import serving
from tests.plugin.arrivals import PATIENCE
from tests.plugin.conftest import database


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """SQLite, unless a test asks for another: little here depends on the database."""
    yield from database(getattr(request, "param", "sqlite"), request, tmp_path)


def _let_in(request: Request) -> None:
    if request.headers.get("authorization") == "Bearer nobody":
        raise Refused(401, "not-signed-in", "sign in first")


def _who(request: Request) -> Who:
    assert request.client is not None
    return Who(kind="person", name="reader", address=request.client.host)


@pytest.fixture
def url(sessions: SessionFactory, spool: Spool) -> Iterator[str]:
    """Where DICOMweb begins."""
    storing, guard = Storing(sessions, spool, PATIENCE), [Depends(_let_in)]
    app = FastAPI()
    app.add_exception_handler(Refused, answer_refused)
    app.include_router(
        dicomweb_router(Archive(sessions, spool), storing, _who, may_read=guard, may_store=guard)
    )
    with ExitStack() as stack:
        stack.enter_context(storing.running())
        yield f"{stack.enter_context(serving(app))}/dicom-web"


@pytest.fixture
def client(url: str) -> DICOMwebClient:
    """The client of the ImagingDataCommons, which none of us wrote."""
    return DICOMwebClient(url)
