"""What a destination is reached by, and in which form it gets a draft, as the settings say."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from pydicom import Dataset

from dicom_io.archives.archive import Archive, Target
from dicom_io.archives.association import Timeouts
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.http import Bearer, ClientCredentials, Login
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.tls import Tls
from dicom_io.errors import ConfigurationError
from plugin.delivery.destinations import Proof, read_credentials
from plugin.delivery.formed import Form, FormedArchive, Told
from plugin.sections.destinations import (
    DicomwebDestination,
    DimseDestination,
    FhirDestination,
    Hl7Destination,
    HttpLogin,
    OrthancDestination,
)
from plugin.sections.section import Certificates
from plugin.sections.upkeep import SyslogLine
from plugin.upkeep.syslog import SyslogReceiver

ArchiveSettings = DimseDestination | DicomwebDestination | OrthancDestination
# The form that the spool holds
SPOOLED = "enhanced-sr"


def formed(archive: Archive, names: Sequence[str], told: Told | None = None) -> Target:
    """Give an archive the forms that it is offered; by itself where that is the SR alone.

    Parameters
    ----------
    archive : Archive
        Where drafts go.
    names : sequence of str
        Of the forms.
    told : callable, optional
        See `FormedArchive`.
    """
    if tuple(names) == (SPOOLED,):
        return archive
    forms = [Form(name, None if name == SPOOLED else _maker(name)) for name in names]
    return FormedArchive(archive, forms, told) if told else FormedArchive(archive, forms)


def _maker(name: str) -> Callable[[Dataset], Dataset]:
    """Import what makes a form: only who sends a PDF needs its libraries."""
    if name == "text-sr":
        from reporting.forms.text_sr import text_sr

        return text_sr
    if name == "pdf":
        from reporting.forms.pdf import encapsulated_pdf

        return encapsulated_pdf
    from reporting.forms.image import page_image

    return page_image


def hl7_receiver(settings: Hl7Destination) -> Target:
    """Build the client of a system that takes HL7 v2."""
    from plugin.delivery.mllp import Hl7Receiver
    from reporting.forms.oru import Names, oru_message

    names = Names(
        settings.sending_application,
        settings.sending_facility,
        settings.receiving_application,
        settings.receiving_facility,
    )
    message = partial(oru_message, names=names)
    return Hl7Receiver(settings.host, settings.port, message, settings.timeout_s)


def fhir_server(settings: FhirDestination) -> Target:
    """Build the client of a FHIR server."""
    from plugin.delivery.fhir_server import FhirServer
    from reporting.forms.diagnostic_report import diagnostic_report

    login, tls = login_of(settings), certificates(settings.tls)
    return FhirServer(settings.url, diagnostic_report, login, settings.timeout_s, tls)


def archive_of(settings: ArchiveSettings) -> Archive:
    """Build the client of an archive."""
    counts, timeout_s = Proof(settings.proof) is Proof.COUNTED, settings.timeout_s
    tls = certificates(settings.tls)
    if isinstance(settings, DimseDestination):
        return Dimse(
            settings.host,
            settings.port,
            settings.ae_title,
            settings.calling_ae_title,
            timeouts=Timeouts(dimse_s=timeout_s),
            counts=counts,
            tls=tls,
        )
    if isinstance(settings, DicomwebDestination):
        return Dicomweb(settings.url, login_of(settings), timeout_s, counts, tls)
    return Orthanc(settings.url, login_of(settings), timeout_s, tls)


def syslog_receiver(settings: SyslogLine) -> SyslogReceiver:
    """Build the client of whoever takes syslog messages."""
    tls = certificates(settings.tls)
    where = settings.host, settings.port, settings.transport
    return SyslogReceiver(*where, tls, settings.timeout_s)


def certificates(settings: Certificates | None) -> Tls | None:
    """Name the files of a line's certificates; the key's passphrase is in the environment.

    Raises
    ------
    ConfigurationError
        The variable of the passphrase is not set.
    """
    if settings is None:
        return None
    passphrase = read_secret(settings.passphrase_env) if settings.passphrase_env else None
    return Tls(settings.authorities, settings.certificate, settings.key, passphrase, settings.name)


def login_of(settings: HttpLogin) -> Login | None:
    """Read from the environment how a destination is told who asks.

    Raises
    ------
    ConfigurationError
        A variable that the settings name is not set.
    """
    if settings.oauth is not None:
        oauth = settings.oauth
        secret = read_secret(oauth.secret_env)
        return ClientCredentials(oauth.token_url, oauth.client_id, secret, oauth.scope)
    token = read_token(settings.token_env)
    return Bearer(token) if token else read_credentials(settings.credentials_env)


def read_secret(variable: str) -> str:
    """Read a secret from the environment variable that the settings name.

    Raises
    ------
    ConfigurationError
        The variable is not set, or empty.
    """
    secret = os.environ.get(variable, "")
    if not secret:
        raise ConfigurationError(f"the environment variable {variable} must hold a secret")
    return secret


def read_token(variable: str | None) -> str | None:
    """Read the token from the environment variable that the settings name.

    Raises
    ------
    ConfigurationError
        The variable is not set, or empty, or holds what no HTTP header can.
    """
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not (token and token.isascii() and token.isprintable()):
        raise ConfigurationError(
            f"the environment variable {variable} must hold a token in printable ASCII"
        )
    return token
