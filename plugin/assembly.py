"""Settings become running parts: the only module that turns `Settings` into plain arguments."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_io.archives.archive import Target
from dicom_io.archives.dimse import Dimse
from dicom_io.errors import ConfigurationError
from plugin.delivery.destinations import CLAIM_S, Destination, Proof
from plugin.delivery.formed import tell_form
from plugin.endpoints import (
    archive_of,
    certificates,
    fhir_server,
    formed,
    hl7_receiver,
    read_token,
)
from plugin.engines import loaded_engine, watched_engine
from plugin.housekeeping import audited_settings, duties, hl7_duties, metrics_duties
from plugin.sections.destinations import ArchiveDestination, FhirDestination, Hl7Destination
from plugin.sections.destinations import Destination as DestinationSettings
from plugin.sections.section import is_loopback
from plugin.settings import Settings
from plugin.state.background import settle_in
from plugin.state.clock import now_by, now_of
from plugin.state.database import SessionFactory, open_database, require_database, session_factory
from plugin.state.files.private import make_private
from plugin.state.files.spool import Spool
from plugin.state.kept.refusals import TURNED_AWAY
from plugin.state.kinds import Kind
from plugin.state.running.bell import Bell
from plugin.state.running.outage import await_database
from plugin.state.running.pulse import SILENT_S, Pulse
from plugin.state.running.skew import watching_clock
from plugin.state.tables import Level
from plugin.state.tally import TALLY, counting
from plugin.state.timeline import add_event
from plugin.supervisor import stop_on_signals
from plugin.upkeep.audit.audited import audited, note_settings

if TYPE_CHECKING:
    from dicom_io.archives.proving.proof import Verdict
    from plugin.delivery.formed import Told
    from plugin.delivery.outbox import Outbox
    from plugin.delivery.redelivery import Selection


def open_sessions(settings: Settings) -> SessionFactory:
    """Open the database, migrated to the current tables."""
    make_private(settings.storage.spool)
    return session_factory(open_database(settings.storage.database_url))


@contextmanager
def passing_sessions(settings: Settings, *, begins: bool = False) -> Iterator[SessionFactory]:
    """Open the database for one command, and close it afterwards.

    Parameters
    ----------
    settings : Settings
        Say where it is.
    begins : bool
        Whether a database is begun where there is none, and not missed.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    if not begins:
        require_database(settings.storage.database_url)
    sessions = open_sessions(settings)
    try:
        yield sessions
    finally:
        sessions.kw["bind"].dispose()


def await_sessions(
    settings: Settings, stop: threading.Event, pulse: Pulse
) -> SessionFactory | None:
    """Open the database as `open_sessions` does, once it answers; None if `stop` was set first."""
    engine = await_database(settings.storage.database_url, stop, pulse.expect)
    return None if engine is None else session_factory(engine)


def open_spool(settings: Settings) -> Spool:
    return Spool(settings.storage.spool, floor_bytes=settings.storage.floor_mb * 2**20)


def open_outbox(settings: Settings, sessions: SessionFactory) -> Outbox:
    """Build what hands out the deliveries that are due."""
    from plugin.delivery.outbox import Outbox

    dropped = settings.hl7.enabled and settings.worker.when_reported == "drop"
    return Outbox(sessions, settings.storage.spool, drop_reported=dropped)


def run_receiver(settings: Settings, stop: threading.Event | None = None) -> None:
    """Receive until a signal, or `stop`."""
    from plugin.reception.receiver import Limits
    from plugin.reception.receiver import run_receiver as receive
    from plugin.workplace import patience_of

    receiver, stop = settings.receiver, stop or stop_on_signals()
    with closing(Pulse(settings.storage.spool, "receive")) as pulse:
        sessions = await_sessions(settings, stop, pulse)
        if sessions is None:
            return
        with (
            audited(sessions, "receive"),
            watching_clock(sessions),
            counting(sessions, TALLY, TURNED_AWAY.flush),
        ):
            settle_in()
            receive(
                sessions,
                open_spool(settings),
                stop,
                patience=patience_of(settings),
                host=receiver.host,
                port=receiver.port,
                ae_title=receiver.ae_title,
                redraft_ae_title=receiver.redraft_ae_title,
                peers=[(peer.ae_title, str(peer.address)) for peer in receiver.peers],
                limits=Limits(receiver.maximum_associations, receiver.network_timeout_s),
                share_port=receiver.processes > 1,
                expect=pulse.expect,
                tls=certificates(receiver.tls),
            )


def run_worker(
    settings: Settings, stop: threading.Event | None = None, path: Path | None = None
) -> None:
    """Draft and deliver until a signal, or `stop`.

    Parameters
    ----------
    settings : Settings
        All that it needs.
    stop : threading.Event, optional
        Without one signals end it, and only the main thread may call this.
    path : Path, optional
        The settings' file, whose changed rules and models are taken up.
    """
    from plugin.delivery.delivery import delivering
    from plugin.workplace import Place, at_work, with_current_model

    stop = stop or stop_on_signals()
    with closing(Pulse(settings.storage.spool, "work")) as pulse:
        sessions = await_sessions(settings, stop, pulse)
        if sessions is None:
            return
        tell = partial(tell_form, sessions)
        targets = [destination(one, partial(tell, one.name)) for one in settings.destinations]
        outbox, poll_s = open_outbox(settings, sessions), settings.worker.poll_s
        settings = with_current_model(settings, sessions)
        with (
            audited(sessions, "work"),
            closing(Bell(sessions.kw["bind"])) as bell,
            watching_clock(sessions),
            counting(sessions),
            watched_engine(settings, sessions) as engine,
            delivering(outbox, targets, poll_s, bell.wait),
        ):
            spool = open_spool(settings)
            place = Place(settings, path, sessions, spool, targets, bell, pulse, stop)
            with at_work(place, engine) as worker:
                settle_in()
                worker.run(stop, poll_s)


def run_delivery(settings: Settings, stop: threading.Event | None = None) -> None:
    """Deliver until a signal, or `stop`: what is drafted leaves although no worker lives."""
    from plugin.delivery.delivery import delivering

    stop = stop or stop_on_signals()
    targets = [destination(one) for one in settings.destinations]
    with closing(Pulse(settings.storage.spool, "deliver")) as pulse:
        sessions = await_sessions(settings, stop, pulse)
        if sessions is None:
            return
        outbox = open_outbox(settings, sessions)
        poll_s = settings.worker.poll_s
        with (
            audited(sessions, "deliver"),
            closing(Bell(sessions.kw["bind"])) as bell,
            watching_clock(sessions),
            counting(sessions),
            delivering(outbox, targets, poll_s, bell.wait),
        ):
            settle_in()
            while not stop.wait(settings.worker.poll_s):
                pulse.expect(SILENT_S)


def run_upkeep(settings: Settings, stop: threading.Event | None = None) -> None:
    """Look after the service until a signal, or `stop`."""
    from plugin.upkeep.duties import done

    stop = stop or stop_on_signals()
    with closing(Pulse(settings.storage.spool, "upkeep")) as pulse, ExitStack() as stack:
        sessions = await_sessions(settings, stop, pulse)
        if sessions is None:
            return
        note_settings(sessions, audited_settings(settings))
        found = duties(settings, sessions, open_spool(settings))
        found += metrics_duties(settings, sessions, stack) + hl7_duties(settings, sessions, stack)
        with audited(sessions, "upkeep"), counting(sessions), done(found):
            settle_in()
            while not stop.wait(1.0):
                pulse.expect(SILENT_S)


def alert(settings: Settings, kind: Kind, message: str) -> None:
    """Write an alert into the service's timeline; where the database is away, the log has it.

    Parameters
    ----------
    settings : Settings
        Say where the database is.
    kind : Kind
        Of the event.
    message : str
        What to tell; it names no patient.
    """
    with passing_sessions(settings, begins=True) as sessions, sessions.begin() as session:
        add_event(session, kind, message, now=now_of(session), level=Level.ALERT)


def run_engine(settings: Settings) -> None:
    """Serve the model of the settings until a signal.

    Raises
    ------
    ConfigurationError
        The server would be reached from other hosts, and asks for no token.
    EngineError
        The model cannot be loaded, or the port is taken.
    """
    from engine.serving.server import make_app, serve

    model, server = settings.engine, settings.engine_server
    token = read_token(model.token_env)
    if token is None and not is_loopback(server.host):
        raise ConfigurationError(
            f"engine_server.host {server.host} is reached from other hosts: name the environment "
            "variable that holds a token as engine.token_env"
        )
    stop_on_signals()  # the server drains and returns; without this the process dies of the signal
    # vLLM puts texts together by itself, the later ones too
    batch, at_once = (server.batch, 1) if model.decoder == "local" else (1, server.in_flight)
    with loaded_engine(model) as engine:
        app = make_app(
            engine, token=token, in_flight=server.in_flight, batch=batch, at_once=at_once
        )
        serve(app, server.host, server.port, drain_s=server.drain_s)


def verify(settings: Settings, selection: Selection) -> Iterator[tuple[str, str, Verdict]]:
    """Look again for what was proved; see `plugin.delivery.redelivery.verify`."""
    from plugin.delivery.redelivery import verify as look_again

    require_known(settings, selection)
    targets = {one.name: destination(one) for one in settings.destinations}
    require_database(settings.storage.database_url)
    sessions, spool = open_sessions(settings), settings.storage.spool
    return look_again(sessions, spool, targets, selection, now_by(sessions))


def require_known(settings: Settings, selection: Selection) -> None:
    """Refuse the name of a destination that the settings do not have.

    Raises
    ------
    ConfigurationError
        They know none of that name.
    """
    name, known = selection.destination, [one.name for one in settings.destinations]
    if name is not None and name not in known:
        raise ConfigurationError(
            f"no destination is called {name}; the settings have: {', '.join(known) or 'none'}"
        )


def destination(settings: DestinationSettings, told: Told | None = None) -> Destination:
    """Build the destination that a table of the settings describes.

    Parameters
    ----------
    settings : DestinationSettings
        The table.
    told : callable, optional
        See `plugin.delivery.formed.FormedArchive`.
    """
    # Twice, as whoever is not heard of may be waiting for the second of two answers
    claim_s = max(CLAIM_S, 2 * settings.timeout_s)
    proof, target = Proof(settings.proof), target_of(settings, told)
    commit = target.commit if proof is Proof.COMMITMENT and isinstance(target, Dimse) else None
    within_s = settings.prove_within_s
    in_forms = partial(target_in, settings, told)
    plain = None
    if isinstance(settings, ArchiveDestination) and settings.evidence_objects:
        plain = archive_of(settings)
    return Destination(settings.name, target, proof, within_s, claim_s, commit, in_forms, plain)


def target_in(settings: DestinationSettings, told: Told | None, forms: Sequence[str]) -> Target:
    """Build what a destination is reached by, with forms in place of its own where it has any.

    Parameters
    ----------
    settings : DestinationSettings
        Of the destination.
    told : Told, optional
        Told the SOP Instance UID of a draft, and what became of it.
    forms : sequence of str
        In which a draft leaves; empty for the destination's own.
    """
    if isinstance(settings, ArchiveDestination):
        return formed(archive_of(settings), forms, told)
    return target_of(settings, told)


def target_of(settings: DestinationSettings, told: Told | None = None) -> Target:
    """Build what a destination is reached by, with the forms that it takes."""
    if isinstance(settings, Hl7Destination):
        return hl7_receiver(settings)
    if isinstance(settings, FhirDestination):
        return fhir_server(settings)
    return formed(archive_of(settings), settings.forms, told)
