"""The settings of the reading room: where it listens, how it is reached, how long people stay."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from plugin.sections.section import (
    Certificates,
    HttpUrl,
    Networks,
    Port,
    Section,
    is_loopback,
    require_unique,
)

RoleName = Literal["reader", "radiologist", "administrator"]


class Directory(Section):
    """A directory that people sign in with, by OpenID Connect."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    title: str = Field(description="what the button on the sign-in page says")
    issuer: HttpUrl = Field(description="as the provider calls itself; its description is below it")
    client_id: str
    secret_env: str | None = Field(
        default=None, description="environment variable holding the client's secret"
    )
    scopes: tuple[str, ...] = Field(default=("openid", "profile"), description="asked for")
    name_claim: str = Field(default="preferred_username", description="a person's name here")
    roles_claim: str = Field(
        default="groups", description="claim with a person's groups; dots lead into tables"
    )
    roles: dict[RoleName, tuple[str, ...]] = Field(
        min_length=1, description="groups that have a role; who is in none is not let in"
    )

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        if value.startswith("http:") and not is_loopback(urlsplit(value).hostname or ""):
            raise ValueError("a directory is asked by https")
        return value


class Acceptance(Section):
    """What follows where a radiologist accepts or rejects a draft."""

    what: Literal["object", "messages", "copy"] = Field(
        default="object",
        description="what is accepted becomes a report object for the draft's destinations, only "
        "an ORU message or a FHIR report for those of the kinds hl7 and fhir, or nothing is sent",
    )
    status: Literal["preliminary", "final"] = Field(
        default="preliminary", description="of that object, and of its ORU message or FHIR report"
    )
    verified_for: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="name of the organization: acceptance then verifies the report (VERIFIED)",
    )
    language: Literal["en-US", "en-GB", "de-DE", "de-AT", "de-CH"] = Field(
        default="en-US", description="of the texts that are accepted"
    )
    rejected: Literal["marked", "retracted"] = Field(
        default="marked", description="whether a rejected draft is taken back, too"
    )


class Web(Section):
    """The reading room and DICOMweb, by HTTP."""

    enabled: bool = Field(default=False, description="whether `ctscribe serve` runs it, too")
    host: str = "127.0.0.1"
    port: Port = 11185
    public_url: HttpUrl | None = Field(
        default=None, description="what browsers call it, such as https://reading.example.org"
    )
    tls: Certificates | None = None
    proxies: Networks = Field(
        default=(),
        description="addresses of reverse proxies that speak TLS with browsers; nobody else is "
        "answered then",
    )
    ohif_url: HttpUrl | None = Field(
        default=None, description="an OHIF viewer that reaches our DICOMweb: studies link to it"
    )
    priors_at: str | None = Field(
        default=None,
        description="name of the destination that is asked for a patient's earlier studies and "
        "their reports",
    )
    links_secret_env: str | None = Field(
        default=None,
        description="name of the environment variable with the secret that signs links to studies",
    )
    idle_minutes: int = Field(
        default=30, ge=1, description="without a request for so long, a session is over"
    )
    longest_hours: int = Field(default=12, ge=1, description="no session lasts for longer")
    failures: int = Field(
        default=10, ge=3, description="wrong passwords in a row that lock a person out"
    )
    locked_minutes: int = Field(default=15, ge=1, description="how long a person is locked out")
    requests_a_second: int = Field(
        default=400,
        ge=1,
        description="how often one session or token may ask in the long run; what is due in 10 s "
        "may come at once",
    )
    address_requests_a_second: int = Field(
        default=2000, ge=1, description="the same for everybody who comes from one address"
    )
    loopback_without_login: bool = Field(
        default=False,
        description="whoever uses this machine is let in with all roles; only where no other "
        "machine reaches the reading room",
    )
    oidc: tuple[Directory, ...] = Field(
        default=(), description="directories that people sign in with, beside their passwords here"
    )

    acceptance: Acceptance = Acceptance()

    @field_validator("tls")
    @classmethod
    def _has_a_certificate(cls, value: Certificates | None) -> Certificates | None:
        if value is not None and value.certificate is None:
            raise ValueError("the reading room needs a certificate")
        return value

    @field_validator("oidc")
    @classmethod
    def _have_ids(cls, value: tuple[Directory, ...]) -> tuple[Directory, ...]:
        require_unique([one.id for one in value], "directories of [[web.oidc]]")
        return value

    @model_validator(mode="after")
    def _only_this_machine_comes_without_login(self) -> Self:
        if self.loopback_without_login and (not is_loopback(self.host) or self.proxies):
            raise ValueError("loopback_without_login is for a loopback host without proxies")
        return self

    @model_validator(mode="after")
    def _others_come_by_tls(self) -> Self:
        if is_loopback(self.host):
            return self
        if self.tls is None and not self.proxies:
            raise ValueError(
                f"host {self.host} is reached from other hosts: name a certificate as tls, or the "
                "proxies that speak TLS in its place"
            )
        if self.public_url is None:
            raise ValueError(
                f"host {self.host} is reached from other hosts: say as public_url what they call it"
            )
        return self

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by TLS."""
        return self.tls is not None or bool(self.proxies)
