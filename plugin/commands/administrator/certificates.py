"""How long the certificates of the settings are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from plugin.sections.destinations import Hl7Destination
from plugin.sections.section import Certificates
from plugin.settings import Settings


def certificates_of(settings: Settings) -> Iterator[tuple[str, Certificates]]:
    """Yield the certificates of every line, and what messages call the line."""
    if settings.receiver.tls is not None:
        yield "receiver", settings.receiver.tls
    if settings.hl7.tls is not None:
        yield "hl7", settings.hl7.tls
    if settings.web.tls is not None:
        yield "reading room", settings.web.tls
    for one in settings.destinations:
        if not isinstance(one, Hl7Destination) and one.tls is not None:
            yield f"destination {one.name}", one.tls
    for told in (*settings.alarms.channels, *settings.audit.repositories):
        if told.tls is not None:
            yield told.name, told.tls


def valid_until(line: Certificates) -> Iterator[tuple[Path, datetime]]:
    """Yield until when each file of a line is of use.

    Our certificate is no better than the first of its chain to expire; authorities are of use as
    long as one of them is.

    Raises
    ------
    OSError
        A file cannot be read.
    ValueError
        It holds no certificates.
    """
    for path, first_or_last in ((line.certificate, min), (line.authorities, max)):
        if path is not None:
            held = load_pem_x509_certificates(path.read_bytes())
            yield path, first_or_last(one.not_valid_after_utc for one in held)
