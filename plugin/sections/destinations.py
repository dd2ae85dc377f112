"""Settings of what drafts are sent to: [[destinations]], a class for each kind."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plugin.sections.section import AETitle, Certificates, HttpUrl, Port, Seconds, Section

FormName = Literal["enhanced-sr", "text-sr", "pdf", "image"]
_PROOF = "what the destination owes before a draft counts as delivered"


class DestinationSection(Section):
    """What every kind of destination has."""

    name: str
    timeout_s: Seconds = Field(default=30.0, description="how long an answer may take")
    prove_within_s: Seconds = Field(
        default=3600.0, description="alert when what was accepted is not found for so long"
    )


class ArchiveDestination(DestinationSection):
    """What every archive of DICOM objects has."""

    forms: tuple[FormName, ...] = Field(
        default=("enhanced-sr", "text-sr"),
        min_length=1,
        description="the form of a draft; the next one where the archive does not take the class",
    )
    evidence_objects: bool = Field(
        default=False,
        description="takes a segmentation and key images of what a draft comes from, beside it",
    )
    rejection_notes: bool = Field(
        default=False,
        description="takes IOCM rejection notes: a draft whose study got another identity is "
        "retracted by one",
    )

    @model_validator(mode="after")
    def _a_note_rejects_the_report_that_was_sent(self) -> Self:
        if self.rejection_notes and self.forms[0] != "enhanced-sr":
            raise ValueError("rejection_notes: a note rejects an Enhanced SR, the first of forms")
        return self


class DimseDestination(ArchiveDestination):
    """C-STORE, proved by C-FIND."""

    kind: Literal["dimse"]
    proof: Literal["found", "counted", "commitment", "none"] = Field(
        default="found", description=_PROOF
    )
    host: str
    port: Port
    ae_title: AETitle
    calling_ae_title: AETitle = "CTSCRIBE"
    tls: Certificates | None = None

    @model_validator(mode="after")
    def _commitment_is_to_one_object(self) -> DimseDestination:
        if self.proof == "commitment" and self.forms != ("enhanced-sr",):
            raise ValueError('proof = "commitment" goes with forms = ["enhanced-sr"] only')
        return self


class OAuth(Section):
    """The OAuth 2.0 client credentials grant (RFC 6749 4.4)."""

    token_url: HttpUrl
    client_id: str
    secret_env: str = Field(description="environment variable holding the client's secret")
    scope: str | None = None


class HttpLogin(Section):
    """How a server that is reached by HTTP knows who asks, and we know the server."""

    credentials_env: str | None = Field(
        default=None, description="environment variable holding user:password"
    )
    token_env: str | None = Field(
        default=None, description="environment variable holding a bearer token"
    )
    oauth: OAuth | None = None
    tls: Certificates | None = None

    @model_validator(mode="after")
    def _one_login(self) -> HttpLogin:
        if sum(one is not None for one in (self.credentials_env, self.token_env, self.oauth)) > 1:
            raise ValueError("credentials_env, token_env and oauth exclude one another")
        return self


class DicomwebDestination(ArchiveDestination, HttpLogin):
    """STOW-RS, proved by QIDO-RS."""

    kind: Literal["dicomweb"]
    url: str
    proof: Literal["found", "counted", "none"] = Field(default="found", description=_PROOF)


class OrthancDestination(ArchiveDestination, HttpLogin):
    """The Orthanc REST API, proved by reading the tags back."""

    kind: Literal["orthanc"]
    url: str
    proof: Literal["found", "none"] = Field(default="found", description=_PROOF)


class Hl7Destination(DestinationSection):
    """ORU^R01 over MLLP; its acknowledgment is the proof."""

    kind: Literal["hl7"]
    proof: Literal["none"] = Field(default="none", description=_PROOF)
    host: str
    port: Port
    sending_application: str = Field(default="CTSCRIBE", description="MSH-3")
    sending_facility: str = Field(default="", description="MSH-4")
    receiving_application: str = Field(default="", description="MSH-5")
    receiving_facility: str = Field(default="", description="MSH-6")


class FhirDestination(DestinationSection, HttpLogin):
    """A FHIR R4 server, proved by a search."""

    kind: Literal["fhir"]
    proof: Literal["found", "none"] = Field(default="found", description=_PROOF)
    url: HttpUrl


Destination = Annotated[
    DimseDestination | DicomwebDestination | OrthancDestination | Hl7Destination | FhirDestination,
    Field(discriminator="kind"),
]


def needs_the_sr(one: DestinationSection) -> bool:
    """Whether what is proved or rejected at a destination is the Enhanced SR itself."""
    if not isinstance(one, ArchiveDestination):
        return False
    return one.rejection_notes or (isinstance(one, DimseDestination) and one.proof == "commitment")
