"""Who else is needed: destinations, audit repositories, those told of alarms, directories."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from dicom_io.errors import CtscribeError
from plugin.commands.doctor.finding import ALLOW_REACHING, Finding, not_installed, reachable
from plugin.sections.destinations import Destination as DestinationSettings
from plugin.sections.destinations import FhirDestination, Hl7Destination
from plugin.sections.web import Directory as DirectorySettings
from plugin.settings import Settings

if TYPE_CHECKING:
    from plugin.delivery.destinations import Destination
    from plugin.endpoints import ArchiveSettings


FORMS: dict[str, tuple[str, str]] = {
    "enhanced-sr": ("1.2.840.10008.5.1.4.1.1.88.22", "Enhanced SR"),
    "text-sr": ("1.2.840.10008.5.1.4.1.1.88.11", "Basic Text SR"),
    "pdf": ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF"),
    "image": ("1.2.840.10008.5.1.4.1.1.7", "Secondary Capture"),
}
_ALLOW_STORING = "let our AE title, or our user, store drafts; or name another form in `forms`"
_ALLOW_SEARCHING = "let our AE title, or our user, search; or set another proof"


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
        return not_installed(check, error)
    advice = "check host and port" if isinstance(one, Hl7Destination) else ALLOW_REACHING
    answers = reachable(check, one.kind, target.archive.check, advice)
    if not answers.ok or isinstance(one, Hl7Destination | FhirDestination):
        return answers
    return _takes_and_shows(check, one, target)


def _takes_and_shows(check: str, one: ArchiveSettings, target: Destination) -> Finding:
    """Go through what a delivery to an archive needs, without sending anything."""
    from dicom_io.archives.proving.proof import InstanceReference
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
        yield reachable(f"audit trail to {one.name}", where, receiver.check)


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
            yield reachable(check, one.issuer, partial(_ask_directory, one), advice)
        except ModuleNotFoundError as error:
            yield not_installed(check, error)


def _ask_directory(one: DirectorySettings) -> None:
    from plugin.web.access.directories import Directory

    Directory(one).check()
