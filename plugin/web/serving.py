"""The process that serves the reading room: `ctscribe web`."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from dicom_io.errors import ConfigurationError
from plugin.assembly import await_sessions, open_spool
from plugin.endpoints import archive_of, certificates, read_secret
from plugin.sections.destinations import ArchiveDestination
from plugin.sections.web import Web
from plugin.settings import Settings, load_settings
from plugin.state.background import in_background, settle_in
from plugin.state.database import SessionFactory
from plugin.state.kept.refusals import TURNED_AWAY
from plugin.state.running.bell import Bell
from plugin.state.running.pulse import SILENT_S, Pulse
from plugin.state.running.skew import watching_clock
from plugin.state.tally import TALLY, counting
from plugin.supervisor import stop_on_signals
from plugin.upkeep.audit.audited import audited
from plugin.web.access.gate import Gate, identify
from plugin.web.access.pace import Paced
from plugin.web.access.sessions import Limits, Role
from plugin.web.access.tokens import Scope
from plugin.web.application import create_app
from plugin.web.beside.archived import ArchivedPriors
from plugin.web.beside.routes import beside_router
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.readiness import keeping_ready
from plugin.web.dicomweb.routes import dicomweb_router
from plugin.web.dicomweb.stow import Storing
from plugin.web.only_proxies import OnlyProxies
from plugin.web.pages import built_pages
from plugin.web.reading.decisions import Consequences
from plugin.web.reading.feed import Feed
from plugin.web.reading.naming import keep_named
from plugin.web.reading.room import Room
from plugin.web.routes.administrator.people import people_router
from plugin.web.routes.administrator.router import administration_router
from plugin.web.routes.launch import launch_router
from plugin.web.routes.office import Office
from plugin.web.routes.questions import questions_router
from plugin.web.routes.reading import reading_routers
from plugin.web.routes.session import Entrance
from plugin.workplace import patience_of, taking_notes

LOGGER = logging.getLogger(__name__)
# A page's live news end with the process; what is stored is acknowledged in less
_DRAIN_S = 5
# Who has a link may try out secrets without asking us: 32 random characters are too many
_SHORTEST_SECRET = 32
# What this host calls itself, beside the name that others use
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")


def run_web(
    settings: Settings, stop: threading.Event | None = None, path: Path | None = None
) -> None:
    """Serve until a signal, or `stop`.

    Parameters
    ----------
    settings : Settings
        All that it needs.
    stop : threading.Event, optional
        Without one signals end it, and only the main thread may call this.
    path : Path, optional
        The settings' file, whose rules administrators are shown as they stand.

    Raises
    ------
    ConfigurationError
        Nobody can listen there, or a certificate cannot be read.
    """
    stop = stop or stop_on_signals()
    with closing(Pulse(settings.storage.spool, "web")) as pulse, ExitStack() as stack:
        listener = stack.enter_context(_listening(settings.web))
        sessions = await_sessions(settings, stop, pulse)
        if sessions is None:
            return
        bell = stack.enter_context(closing(Bell(sessions.kw["bind"])))
        served = Served(settings, path, sessions, bell)
        for one in (
            audited(sessions, "web"),
            watching_clock(sessions),
            counting(sessions, TALLY, TURNED_AWAY.flush),
        ):
            stack.enter_context(one)
        stack.enter_context(served.running())
        storage = settings.storage
        stack.enter_context(keeping_ready(storage.database_url, storage.spool))
        app = guarded(served.app, settings.web)
        stack.enter_context(_answering(app, settings.web, listener))
        settle_in()
        while not stop.wait(1.0):
            pulse.expect(SILENT_S)


class Served:
    """The application of a service, and what runs beside it.

    Parameters
    ----------
    settings : Settings
        Of the service.
    path : Path, optional
        Their file.
    sessions : SessionFactory
        Of its database.
    bell : Bell
        Rings when something changes.
    """

    def __init__(
        self, settings: Settings, path: Path | None, sessions: SessionFactory, bell: Bell
    ) -> None:
        web = settings.web
        self._archive = archive = Archive(sessions, open_spool(settings))
        self._storing = Storing(sessions, archive.spool, patience_of(settings))
        self._feed = Feed(sessions, bell.wait)
        gate = Gate(sessions, limits_of(web))
        ohif, follows = partial(ohif_address, web.ohif_url), consequences_of(settings)
        room = Room(gate, archive, self._feed, identify, ohif, follows)
        read = partial(load_settings, path) if path else lambda: settings
        administrator = [gate.allowed(Role.ADMINISTRATOR, Scope.ADMINISTRATION)]
        office = Office(read, sessions, archive.spool, identify, administrator)
        routers = (
            _dicomweb(archive, self._storing, gate),
            beside_router(
                archive,
                identify,
                [gate.allowed(Role.READER, Scope.READING)],
                archived_priors(settings),
            ),
            questions_router(sessions, identify, [gate.allowed(Role.READER)]),
            *reading_routers(room),
            *_of_directories(gate, web),
            launch_router(gate, _signing(web), web.public_url or "", secure=web.is_secure),
            administration_router(office),
            people_router(sessions, identify, [gate.allowed(Role.ADMINISTRATOR)]),
        )
        entrance = Entrance(
            tuple((one.id, one.title) for one in web.oidc),
            without_login=web.loopback_without_login,
            ohif=web.ohif_url is not None,
        )
        self.app = create_app(
            gate, routers, secure=web.is_secure, entrance=entrance, built=built_pages()
        )
        if web.oidc:
            from plugin.web.access.directories import keep_pending  # its libraries are an extra

            keep_pending(self.app, secure=web.is_secure)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run what requests stand on for the length of a `with` block."""
        with (
            self._storing.running(),
            in_background(("news", self._feed.run), ("names", partial(keep_named, self._archive))),
        ):
            yield


def _signing(web: Web) -> bytes | None:
    """Return what signs links."""
    if web.links_secret_env is None:
        return None
    secret = read_secret(web.links_secret_env)
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"the secret in {web.links_secret_env} must have {_SHORTEST_SECRET} characters at least"
        )
    return secret.encode()


def _dicomweb(archive: Archive, storing: Storing, gate: Gate) -> APIRouter:
    return dicomweb_router(
        archive,
        storing,
        identify,
        may_read=[gate.allowed(Role.READER, Scope.DICOMWEB_READ)],
        may_store=[gate.allowed(Role.ADMINISTRATOR, Scope.DICOMWEB_WRITE)],
    )


def archived_priors(settings: Settings) -> ArchivedPriors | None:
    """Return what asks the archive of prior studies; None where the settings name none."""
    for one in settings.destinations:
        if one.name == settings.web.priors_at and isinstance(one, ArchiveDestination):
            return ArchivedPriors(one.name, archive_of(one))
    return None


def _of_directories(gate: Gate, web: Web) -> list[APIRouter]:
    if not web.oidc:
        return []
    # The libraries of both are an extra
    from plugin.web.access.directories import directories_of
    from plugin.web.routes.directories import directories_router

    directories = directories_of(web.oidc)
    return [directories_router(gate, directories, web.public_url, secure=web.is_secure)]


def ohif_address(root: str | None, study: str) -> str | None:
    """Return the address of a study in OHIF; None where the settings name none.

    Parameters
    ----------
    root : str, optional
        Where OHIF is.
    study : str
        StudyInstanceUID.
    """
    return f"{root.rstrip('/')}/viewer?StudyInstanceUIDs={study}" if root else None


def consequences_of(settings: Settings) -> Consequences:
    """Return what follows where a radiologist accepts or rejects a draft."""
    acceptance = settings.web.acceptance
    return Consequences(
        what=acceptance.what,
        final=acceptance.status == "final",
        verified_for=acceptance.verified_for,
        language=acceptance.language,
        retracts=acceptance.rejected == "retracted",
        rejection_notes=tuple(taking_notes(settings)),
    )


def limits_of(web: Web) -> Limits:
    """Return how long sessions last, and when a person is locked out."""
    return Limits(
        idle=timedelta(minutes=web.idle_minutes),
        longest=timedelta(hours=web.longest_hours),
        failures=web.failures,
        locked=timedelta(minutes=web.locked_minutes),
    )


def guarded(app: ASGIApp, web: Web) -> ASGIApp:
    """Let in only who calls the service by its name, not too often, and through its proxies if any.

    A page of another site whose name was made to lead here could read what it likes otherwise.
    """
    named = urlsplit(web.public_url).hostname if web.public_url else None
    app = Paced(app, web.requests_a_second, web.address_requests_a_second)
    app = TrustedHostMiddleware(app, [*_OWN_NAMES, *filter(None, (named, web.host))])
    if not web.proxies:
        return app
    proxies = [str(one) for one in web.proxies]
    return OnlyProxies(ProxyHeadersMiddleware(app, proxies), web.proxies)  # type: ignore[arg-type]


@contextmanager
def _listening(web: Web) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    try:
        listener = socket.create_server((web.host, web.port), family=family, backlog=128)
    except OSError as error:
        raise ConfigurationError(
            f"web: cannot listen at {web.host}:{web.port}: {error.strerror}"
        ) from error
    with listener:
        yield listener


@contextmanager
def _answering(app: ASGIApp, web: Web, listener: socket.socket) -> Iterator[None]:
    """Answer requests in a thread of their own for the length of a `with` block."""
    tls = certificates(web.tls)
    context = tls.server() if tls else None
    config = uvicorn.Config(
        app,
        http="h11",  # httptools takes headers of any length, also from who is not signed in
        log_config=None,
        access_log=False,  # addresses of studies would stand in it
        server_header=False,
        proxy_headers=False,  # `guarded` believes proxies that the settings name, and no others
        timeout_graceful_shutdown=_DRAIN_S,
        ssl_context_factory=(lambda *_: context) if context else None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True
    )
    thread.start()
    LOGGER.info("the reading room listens at %s:%d", *listener.getsockname()[:2])
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
