"""In which form a destination gets a draft: names in the settings become what makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pydicom import Dataset

from dicom_io.archives.archive import Archive, Target
from dicom_io.archives.http import Credentials
from plugin.delivery.formed import Form, FormedArchive, Told
from plugin.settings import (
    DicomwebDestination,
    DimseDestination,
    FhirDestination,
    Hl7Destination,
    OrthancDestination,
)

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


def fhir_server(settings: FhirDestination, credentials: Credentials | None) -> Target:
    """Build the client of a FHIR server."""
    from plugin.delivery.fhir_server import FhirServer
    from reporting.forms.diagnostic_report import diagnostic_report

    return FhirServer(settings.url, diagnostic_report, credentials, settings.timeout_s)
