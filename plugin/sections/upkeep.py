"""The settings of what keeps a service running: retention, alarms, the audit trail."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from plugin.sections.section import (
    Certificates,
    HttpUrl,
    Networks,
    Port,
    Seconds,
    Section,
    is_loopback,
    require_unique,
)

Name = Annotated[str, Field(min_length=1, max_length=64)]
ClockTimes = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]


def _days_or_never(value: Any) -> Any:
    if value == "never" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError('must be a number of days from 1, or "never"')


Days = Annotated[int | Literal["never"], BeforeValidator(_days_or_never)]
Percent = Annotated[float, Field(gt=0, le=100)]


class Retention(Section):
    """What is deleted when, so that the service runs for years."""

    enabled: bool = Field(default=True, description="false: the service deletes nothing")
    images_days: Days = Field(default=30, description="images, so long after the delivery")
    images_percent: Percent = Field(default=60, description="of the disk, for images")
    undrafted_days: Days = Field(default="never", description="images of a study without a draft")
    drafts_days: Days = Field(default=365, description="files of delivered drafts")
    drafts_percent: Percent = 10
    quarantine_days: Days = Field(default=30, description="bytes that were replaced by newer ones")
    quarantine_percent: Percent = 10
    orphans_days: Days = Field(default=90, description="damaged files that no row names")
    orphans_percent: Percent = 5
    rows_days: Days = Field(
        default=730, description="timelines of studies of which no file is left"
    )
    rows_percent: Percent = 10
    audit_days: Days = Field(
        default="never", description="entries of the audit trail; they are moved into files"
    )
    high_percent: Percent = Field(
        default=85,
        description="a fuller disk loses images of delivered studies, whatever their age",
    )
    low_percent: Percent = Field(default=75, description="until it is down to this")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Retention:
        if self.low_percent > self.high_percent:
            raise ValueError("low_percent must not be above high_percent")
        return self


class Hl7(Section):
    """Orders and final reports, as a RIS tells them."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 11191
    senders: Networks = Field(
        default=(), description="addresses or networks that may connect from beyond loopback"
    )
    accession_fields: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{2}-\d{1,2}$")], ...] = (
        Field(
            default=("IPC-1", "OBR-18", "OBR-3", "ORC-3"),
            min_length=1,
            description="where the accession number stands; the first that has one counts",
        )
    )
    tls: Certificates | None = None

    @field_validator("tls")
    @classmethod
    def _shows_a_certificate(cls, value: Certificates | None) -> Certificates | None:
        if value is not None and value.certificate is None:
            raise ValueError("a server shows a certificate: name its file")
        return value


class Metrics(Section):
    """What a Prometheus server may ask of the service."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 11190
    token_env: str | None = Field(
        default=None, description="environment variable holding the token that is asked for"
    )
    tls: Certificates | None = None

    @field_validator("tls")
    @classmethod
    def _shows_a_certificate(cls, value: Certificates | None) -> Certificates | None:
        if value is not None and value.certificate is None:
            raise ValueError("a server shows a certificate: name its file")
        return value

    @model_validator(mode="after")
    def _others_need_a_token(self) -> Metrics:
        if self.enabled and self.token_env is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is reached from other hosts: name the environment variable that "
                "holds a token as token_env"
            )
        return self


class SyslogLine(Section):
    """Whoever takes syslog messages."""

    name: Name
    host: str
    port: Port = 514
    transport: Literal["udp", "tcp", "tls"] = "udp"
    tls: Certificates | None = None
    timeout_s: Seconds = Field(default=30.0, description="how long reading a batch may take")

    @model_validator(mode="after")
    def _certificates_are_of_tls(self) -> Self:
        if self.tls is not None and self.transport != "tls":
            raise ValueError('tls goes with transport = "tls"')
        return self


class Audit(Section):
    """The audit trail, and who gets it."""

    source_id: str = Field(
        default="ctscribe", min_length=1, description="name of this service, unique in the site"
    )
    site_id: str | None = Field(default=None, description="name of the site in the enterprise")
    repositories: tuple[SyslogLine, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        require_unique([one.name for one in self.repositories], "repositories")
        return self


class Mail(Section):
    """Alarms by e-mail."""

    kind: Literal["mail"]
    name: Name
    host: str
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password_env: str | None = Field(
        default=None, description="environment variable holding the password of the user"
    )
    sender: str = Field(description="address that the mails come from")
    to: tuple[str, ...] = Field(min_length=1)
    tls: Certificates | None = None
    timeout_s: Seconds = 30.0

    @model_validator(mode="after")
    def _a_user_has_a_password(self) -> Self:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("user and password_env go together")
        if self.user is not None and self.security == "none":
            raise ValueError('a password is not sent with security = "none"')
        return self


class Webhook(Section):
    """Alarms as JSON, by an HTTP POST."""

    kind: Literal["webhook"]
    name: Name
    url: HttpUrl | None = None
    url_env: str | None = Field(
        default=None, description="environment variable holding an address that is a secret itself"
    )
    token_env: str | None = Field(
        default=None, description="environment variable holding a bearer token"
    )
    tls: Certificates | None = None
    timeout_s: Seconds = 30.0

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("one of url and url_env is needed")
        return self


class SyslogChannel(SyslogLine):
    """Alarms as syslog messages."""

    kind: Literal["syslog"]


Channel = Annotated[Mail | Webhook | SyslogChannel, Field(discriminator="kind")]


class Alarms(Section):
    """Who is told what wants a person."""

    quiet_hours: ClockTimes | None = Field(
        default=None, description="local time in which only urgent alarms are sent"
    )
    urgent: tuple[str, ...] | None = Field(
        default=None, description="causes that are urgent, in place of the usual ones"
    )
    late_s: Seconds = Field(
        default=900.0, description="a study or a draft that is due for so long is an alarm"
    )
    repeat_s: Seconds = Field(
        default=21600.0, description="an open alarm that grows is sent again after so long"
    )
    accession_numbers: bool = Field(
        default=False, description="whether alarms name accession numbers"
    )
    channels: tuple[Channel, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        require_unique([one.name for one in self.channels], "channels")
        return self
