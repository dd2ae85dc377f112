"""Examine an installation and say what to change."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from dicom_io.errors import CtscribeError
from dicom_io.extras import install_hint
from plugin.console import say
from plugin.settings import Destination as DestinationSettings
from plugin.settings import FhirDestination, Hl7Destination, Settings
from plugin.state.files.file_system import file_system_of
from plugin.state.files.private import make_private
from plugin.state.running.pulse import processes
from plugin.web_settings import Directory as DirectorySettings

if TYPE_CHECKING:
    from engine.protocol import ModelIdentity
    from plugin.delivery.destinations import Destination
    from plugin.endpoints import ArchiveSettings

# What a hospital's own authority takes to issue a certificate, and a change of software its date
RENEWAL = timedelta(days=30)
_ADVICE = {
    False: "check engine.model and engine.device",
    True: "check engine.url and engine.token_env, and that `ctscribe engine` runs there (with "
    "openai+…: a server that knows the model of engine.asking)",
}


_SAFE = "use a file system that is safe for the spool, see docs/scaling.md"
_ONE_MODEL = "start `ctscribe engine` with the same model on every host: only the first's is used"
_PROCESS_ADVICE = {
    "hangs": "serve replaces it; if you started the part alone, end it and start it again",
    "dead": "look at the end of its log, and start it again",
}
FORMS: dict[str, tuple[str, str]] = {
    "enhanced-sr": ("1.2.840.10008.5.1.4.1.1.88.22", "Enhanced SR"),
    "text-sr": ("1.2.840.10008.5.1.4.1.1.88.11", "Basic Text SR"),
    "pdf": ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF"),
    "image": ("1.2.840.10008.5.1.4.1.1.7", "Secondary Capture"),
}
"""The class (PS3.4 B.5) of each form that the settings may name."""
_ALLOW_REACHING = "check host, port, AE title, credentials"
_ALLOW_STORING = "let our AE title, or our user, store drafts; or name another form in `forms`"
_ALLOW_SEARCHING = "let our AE title, or our user, search; or set another proof"


@dataclass(frozen=True)
class Finding:
    """What one check found; `advice` is empty when all is well."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


def examine(settings: Settings, *, as_json: bool, send: bool = False) -> int:
    """Run every check, print the findings, and return 0 if all is well, else 1.

    Parameters
    ----------
    settings : Settings
        Of the service.
    as_json : bool
        Whether one JSON object is printed.
    send : bool
        Whether a test report is delivered to every destination.
    """
    findings = list(run_checks(settings, send=send))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(f) for f in findings]}, indent=2))
    else:
        for finding in findings:
            say(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.check}: {finding.detail}")
            if finding.advice:
                say(f"      → {finding.advice}")
    return 0 if all(finding.ok for finding in findings) else 1


def run_checks(settings: Settings, *, send: bool = False) -> Iterator[Finding]:
    yield check_disk(settings)
    yield from check_database(settings)
    yield from check_processes(settings)
    yield check_receiver(settings)
    yield from check_models(settings)
    yield from check_destinations(settings, send=send)
    yield from check_repositories(settings)
    yield from check_channels(settings)
    yield from check_directories(settings)
    yield from check_certificates(settings)


def check_disk(settings: Settings) -> Finding:
    """The spool can be written and is above its floor."""
    spool, floor_mb = settings.storage.spool, settings.storage.floor_mb
    try:
        make_private(spool)
        probe = spool / ".doctor"
        probe.write_bytes(b"")
        link = spool / ".doctor-link"
        link.hardlink_to(probe)
        link.unlink()
        probe.unlink()
    except OSError as error:
        advice = "make the folder writable, on a file system with hard links"
        return Finding("spool", False, f"{spool}: {error.strerror}", advice)
    free_mb = shutil.disk_usage(spool).free // 2**20
    detail = f"{spool}, {free_mb} MB free, floor {floor_mb} MB"
    if free_mb < floor_mb:
        return Finding("spool", False, detail, "free disk space, or lower storage.floor_mb")
    lies_on = file_system_of(spool)
    if lies_on is not None and lies_on.fault:
        return Finding("spool", False, f"{spool} lies on {lies_on.fault}", _SAFE)
    return Finding("spool", True, detail)


def check_database(settings: Settings) -> Iterator[Finding]:
    """The database answers, has the current tables, and its clock goes as this host's."""
    from plugin.state.clock import skew_s
    from plugin.state.database import open_database, session_factory

    try:
        engine = open_database(settings.storage.database_url)
        with session_factory(engine)() as session:
            skew = skew_s(session)
        engine.dispose()
    except ModuleNotFoundError as error:
        yield _not_installed("database", error)
    except CtscribeError as error:
        yield Finding("database", False, *str(error).split(": ", 1))
    except OSError as error:  # of the folder of SQLite's file
        detail = f"{error.filename}: {error.strerror}"
        yield Finding("database", False, detail, "make the folder writable for the service")
    except Exception as error:  # noqa: BLE001  every driver raises its own; the answer is the same
        cause = type(error).__name__
        yield Finding("database", False, cause, "check storage.database and that it is running")
    else:
        yield Finding("database", True, engine.dialect.name)
        if engine.dialect.name != "sqlite":
            yield _clock(skew)


def _clock(skew: float) -> Finding:
    from plugin.state.running.skew import MOST_S, told

    ok = abs(skew) <= MOST_S
    advice = "" if ok else "have NTP keep the clocks of this host and of the database's"
    return Finding("clock", ok, told(skew), advice)


def check_processes(settings: Settings) -> Iterator[Finding]:
    """Every process of the service that began and did not end in order is alive."""
    for one in processes(settings.storage.spool):
        advice = "" if one.state == "alive" else _PROCESS_ADVICE[one.state]
        yield Finding("process", one.state == "alive", str(one), advice)


def check_receiver(settings: Settings) -> Finding:
    """A receiver answers C-ECHO, or its port is free for one."""
    receiver = settings.receiver
    where = f"{receiver.ae_title} at {receiver.host}:{receiver.port}"
    family = socket.AF_INET6 if ":" in receiver.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((receiver.host, receiver.port))
        except OSError:
            return _reachable("receiver", where, lambda: _echo(settings))
    if receiver.host not in ("127.0.0.1", "::1", "localhost") and not receiver.peers:
        return Finding(
            "receiver", False, f"{where}: nobody may send", "list the senders as receiver.peers"
        )
    return Finding("receiver", True, f"{where}: not running, its port is free")


def _echo(settings: Settings) -> None:
    from dicom_io.archives.dimse import Dimse
    from plugin.endpoints import certificates

    receiver = settings.receiver
    host = "127.0.0.1" if receiver.host in ("0.0.0.0", "::") else receiver.host  # noqa: S104
    tls = certificates(receiver.tls)
    if tls is not None:  # we know our own certificate, whatever name is in it
        tls = replace(tls, authorities=tls.certificate, check_name=False)
    Dimse(host, receiver.port, receiver.ae_title, tls=tls).check()


def check_models(settings: Settings) -> Iterator[Finding]:
    """The service's own model, and those beside it."""
    yield from _check_model(settings, "model")
    for one in settings.models:
        named = settings.model_copy(update={"engine": one})
        yield from _check_model(named, f"model {one.name}")


def _check_model(settings: Settings, check: str) -> Iterator[Finding]:
    """The checkpoint loads on the device, or every engine's server answers, with one model."""
    first: ModelIdentity | None = None
    for url in settings.engine.url or (None,):
        model = settings.engine.model_copy(update={"url": () if url is None else (url,)})
        try:
            identity = _identity(settings.model_copy(update={"engine": model}))
        except CtscribeError as error:
            yield Finding(check, False, str(error), _ADVICE[url is not None])
            continue
        except ModuleNotFoundError as error:
            yield _not_installed(check, error)
            continue
        first = first or identity
        text = f"{model.called}: {identity.name} {identity.version}"
        if identity.digest == first.digest:
            yield Finding(check, True, text)
        else:
            yield Finding(check, False, f"{text}, another one than the others", _ONE_MODEL)


def _identity(settings: Settings) -> ModelIdentity:
    from plugin.engines import ask_identity, opened_engine

    with opened_engine(settings) as engine:
        return ask_identity(engine)


def check_destinations(settings: Settings, *, send: bool = False) -> Iterator[Finding]:
    """Every destination answers, takes drafts, and can be searched as its proof needs.

    Parameters
    ----------
    settings : Settings
        Of the service.
    send : bool
        Whether a test report is delivered to each that is fit for it.
    """
    if not settings.destinations:
        yield Finding("destinations", True, "none: drafts stay in the spool")
    for one in settings.destinations:
        finding = _examined(one)
        yield finding
        if send and finding.ok:
            yield _try_out(one)


def _examined(one: DestinationSettings) -> Finding:
    from plugin.assembly import destination

    check = f"destination {one.name}"
    try:
        target = destination(one)
    except ModuleNotFoundError as error:
        return _not_installed(check, error)
    advice = "check host and port" if isinstance(one, Hl7Destination) else _ALLOW_REACHING
    answers = _reachable(check, one.kind, target.archive.check, advice)
    if not answers.ok or isinstance(one, Hl7Destination | FhirDestination):
        return answers
    return _takes_and_shows(check, one, target)


def _takes_and_shows(check: str, one: ArchiveSettings, target: Destination) -> Finding:
    """Go through what a delivery to an archive needs, without sending anything."""
    from dicom_io.archives.proof import InstanceReference
    from plugin.delivery.destinations import Proof
    from plugin.endpoints import archive_of

    wanted = [FORMS[form] for form in one.forms]
    try:
        taken = archive_of(one).takes(*[uid for uid, _ in wanted])
    except CtscribeError as error:
        detail = f"{one.kind}: answers, takes no draft: {error}"
        return Finding(check, False, detail, _ALLOW_STORING)
    takes = f"{one.kind}: answers, takes {', '.join(name for uid, name in wanted if uid in taken)}"
    if target.proof is Proof.NONE:
        return Finding(check, True, f"{takes}; no proof is wanted")
    try:
        target.archive.find(InstanceReference(*[f"2.25.{uuid4().int}" for _ in range(3)]))
    except CtscribeError as error:
        detail = f"{takes}, but cannot be searched: {error}"
        return Finding(check, False, detail, _ALLOW_SEARCHING)
    return Finding(check, True, f"{takes}, can be searched")


def _try_out(one: DestinationSettings) -> Finding:
    from plugin.assembly import destination
    from plugin.commands.trial import try_out
    from plugin.endpoints import archive_of

    check = f"test report to {one.name}"
    try:
        archive = None if isinstance(one, Hl7Destination | FhirDestination) else archive_of(one)
        proved, told = try_out(destination(one), archive.remove if archive else None)
    except CtscribeError as error:
        return Finding(check, False, str(error), "look into the destination's log")
    return Finding(check, proved, told, "" if proved else "see docs/missing-draft.md")


def check_repositories(settings: Settings) -> Iterator[Finding]:
    """Every audit repository takes a connection; no message is sent."""
    from plugin.endpoints import syslog_receiver

    for one in settings.audit.repositories:
        where = f"{one.host}:{one.port} by {one.transport}"
        receiver = syslog_receiver(one)
        yield _reachable(f"audit trail to {one.name}", where, receiver.check)


def check_channels(settings: Settings) -> Iterator[Finding]:
    """The secrets of those who are told of alarms are there; `ctscribe alarms test` tries them."""
    from plugin.housekeeping import channel_of

    for one in settings.alarms.channels:
        check = f"alarms to {one.name}"
        try:
            channel_of(one)
        except CtscribeError as error:
            yield Finding(check, False, str(error), "set it where the service is started")
        else:
            yield Finding(check, True, f"{one.kind}: `ctscribe alarms test` sends a test")


def check_directories(settings: Settings) -> Iterator[Finding]:
    """The directories that people sign in with answer, and are those of the settings."""
    advice = "check issuer and secret_env, and that this host reaches the directory"
    for one in settings.web.oidc:
        check = f"directory {one.id}"
        try:
            yield _reachable(check, one.issuer, partial(_ask_directory, one), advice)
        except ModuleNotFoundError as error:
            yield _not_installed(check, error)


def _ask_directory(one: DirectorySettings) -> None:
    from plugin.web.access.directories import Directory

    Directory(one).check()


def check_certificates(settings: Settings) -> Iterator[Finding]:
    """No certificate of ours expires soon."""
    from plugin.commands.certificates import certificates_of, valid_until

    advice = "renew the certificate, and the file"
    for line, files in certificates_of(settings):
        try:
            for path, end in valid_until(files):
                lasts = end - datetime.now(UTC) > RENEWAL
                detail = f"{path}: valid until {end:%Y-%m-%d}"
                yield Finding(f"certificate {line}", lasts, detail, "" if lasts else advice)
        except OSError as error:
            yield Finding(
                f"certificate {line}", False, f"{error.filename}: {error.strerror}", advice
            )
        except ValueError:
            yield Finding(f"certificate {line}", False, "no certificates in PEM", advice)


def _not_installed(check: str, error: ModuleNotFoundError) -> Finding:
    missing, _, advice = (install_hint(error) or str(error)).partition(": ")
    return Finding(check, False, missing, advice)


def _reachable(
    check: str, where: str, call: Callable[[], None], advice: str = _ALLOW_REACHING
) -> Finding:
    try:
        call()
    except CtscribeError as error:
        return Finding(check, False, f"{where}: {error}", advice)
    return Finding(check, True, f"{where}: answers")
