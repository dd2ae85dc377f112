"""Settings become running parts: the only module that turns `Settings` into plain arguments."""

from __future__ import annotations

import threading

from dicom_io.errors import ConfigurationError
from plugin import destinations as kinds
from plugin.database import SessionFactory, open_database, session_factory
from plugin.service import stop_on_signals
from plugin.settings import (
    Destination,
    DicomwebDestination,
    DimseDestination,
    Settings,
)
from plugin.spool import Spool


def open_sessions(settings: Settings) -> SessionFactory:
    """Open the database, migrated to the current tables."""
    settings.storage.spool.mkdir(parents=True, exist_ok=True)
    return session_factory(open_database(settings.storage.database_url))


def open_spool(settings: Settings) -> Spool:
    return Spool(settings.storage.spool, floor_bytes=settings.storage.floor_mb * 2**20)


def run_receiver(settings: Settings, stop: threading.Event | None = None) -> None:
    """Receive until a signal, or `stop`."""
    from plugin.receiver import Limits, waiting_of
    from plugin.receiver import run_receiver as receive

    receiver, completeness = settings.receiver, settings.completeness
    receive(
        open_sessions(settings),
        open_spool(settings),
        stop or stop_on_signals(),
        waiting=waiting_of(completeness.quiet_s, completeness.cap_s),
        host=receiver.host,
        port=receiver.port,
        ae_title=receiver.ae_title,
        redraft_ae_title=receiver.redraft_ae_title,
        peers=[(peer.ae_title, str(peer.address)) for peer in receiver.peers],
        limits=Limits(receiver.maximum_associations, receiver.network_timeout_s),
        share_port=receiver.processes > 1,
    )


def run_worker(settings: Settings, stop: threading.Event | None = None) -> None:
    """Draft and deliver until a signal, or `stop`."""
    from engine import load_engine
    from plugin.delivery import delivering
    from plugin.outbox import Outbox
    from plugin.pipeline import Pipeline, select
    from plugin.worker import Worker

    stop = stop or stop_on_signals()
    sessions, spool = open_sessions(settings), open_spool(settings)
    model = settings.engine
    engine = load_engine(model.model, model.device, model.dtype, model.quantization)
    worker = Worker(
        sessions,
        spool,
        make_report=Pipeline(engine, model.max_new_tokens).make_report,
        select=select,
        destinations={one.name: one.kind for one in settings.destinations},
        lease_s=settings.worker.lease_s,
        attempts=settings.worker.attempts,
    )
    targets = [destination(one) for one in settings.destinations]
    with delivering(Outbox(sessions, settings.storage.spool), targets, settings.worker.poll_s):
        worker.run(stop, settings.worker.poll_s)


def requeue(settings: Settings, name: str) -> int:
    """Make the failed deliveries to a destination due again; returns how many.

    Raises
    ------
    ConfigurationError
        The settings know no such destination.
    """
    from plugin.outbox import Outbox

    known = [one.name for one in settings.destinations]
    if name not in known:
        raise ConfigurationError(
            f"no destination is called {name}; the settings have: {', '.join(known) or 'none'}"
        )
    return Outbox(open_sessions(settings), settings.storage.spool).requeue(name)


def destination(settings: Destination) -> kinds.Destination:
    """Build the destination that a table of the settings describes."""
    if isinstance(settings, DimseDestination):
        return kinds.DimseDestination(
            settings.name,
            settings.host,
            settings.port,
            settings.ae_title,
            settings.calling_ae_title,
        )
    kind = (
        kinds.DicomwebDestination
        if isinstance(settings, DicomwebDestination)
        else kinds.OrthancDestination
    )
    return kind(settings.name, settings.url, kinds.read_credentials(settings.credentials_env))
