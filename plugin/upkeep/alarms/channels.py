"""How people are told of alarms: by mail, by a webhook, by syslog."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Literal, Protocol

import httpx

from dicom_io.archives.http import Login, connected, secured, within
from dicom_io.archives.tls import Tls, fault_of
from dicom_io.errors import PeerUnreachable
from plugin.upkeep.alarms.tables import News
from plugin.upkeep.syslog import Severity, SyslogReceiver, syslog_message


@dataclass(frozen=True)
class Message:
    """News of an alarm, without a patient's identity.

    Parameters
    ----------
    id : int
        The alarm's; the same in all news of it.
    news : str
        raised, repeated, over or test.
    cause, urgent, count, message
        What it is, whether it cannot wait, how often it happened, and the latest of it in words.
    first, last : datetime
        When it happened; UTC.
    studies : tuple of str
        The latest that it happened to.
    source : str
        The service.
    key : str
        The same if these news are sent twice.
    """

    id: int
    news: str
    cause: str
    urgent: bool
    count: int
    message: str
    first: datetime
    last: datetime
    studies: tuple[str, ...]
    source: str
    key: str

    @property
    def headline(self) -> str:
        """The news in a few words."""
        if self.news == News.OVER:
            return f"over: {self.cause}"
        return f"{'URGENT' if self.urgent else 'ALARM'} {self.cause}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The news for a person."""
        times = "once" if self.count == 1 else f"{self.count} times"
        happened = f"{times}, first at {_shown(self.first)}, last at {_shown(self.last)}"
        named = (", ".join(self.studies),) if self.studies else ()
        return (f"{self.headline}: {self.message}", happened, *named)


class Channel(Protocol):
    """Whoever takes alarms."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Send it; return once it was taken, raise `PeerUnreachable` if it was not."""


@dataclass(frozen=True)
class Mail:
    """A mail server (RFC 5321), with STARTTLS or TLS.

    Parameters
    ----------
    name, host, port
        What messages call it, and where it is.
    sender, to : str, tuple of str
        Mail addresses.
    security : str
        starttls, tls or none.
    user, password : str, optional
        Who we are.
    tls : Tls, optional
        Certificates, where the system's authorities do not do.
    timeout_s : float
        How long an answer may take.
    """

    name: str
    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    timeout_s: float = 30.0

    def send(self, message: Message) -> None:
        """Send a mail to all at once."""
        mail = EmailMessage()
        mail["Subject"] = f"[{message.source}] {message.headline}"
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Date"] = message.last
        mail["Message-ID"] = f"<{message.key}@{self.sender.rpartition('@')[2] or 'localhost'}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice answers it
        mail.set_content("\n".join(message.lines) + "\n")
        with self._mapped(), self._connected() as server:
            if self.user is not None:
                server.login(self.user, self.password or "")
            server.send_message(mail)

    def _connected(self) -> smtplib.SMTP:
        tls = self.tls or Tls()
        context = tls.client() if self.security != "none" else None
        server = (
            smtplib.SMTP_SSL(timeout=self.timeout_s, context=context)
            if self.security == "tls"
            else smtplib.SMTP(timeout=self.timeout_s)
        )
        # The name that its certificate is compared with; smtplib has no argument for it
        server._host = tls.name or self.host  # type: ignore[attr-defined]
        server.connect(self.host, self.port)
        if self.security == "starttls":
            server.starttls(context=context)
        return server

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        peer = f"{self.host}:{self.port}"
        try:
            yield
        except smtplib.SMTPResponseException as error:
            # The text of the answer may hold an address or a token
            raise PeerUnreachable(f"{peer} refuses the mail (SMTP {error.smtp_code})") from None
        except ssl.SSLError as error:
            raise PeerUnreachable(f"no TLS with {peer}: {fault_of(error)}") from None
        except smtplib.SMTPException as error:
            raise PeerUnreachable(f"{peer} takes no mail: {type(error).__name__}") from None
        except OSError as error:
            raise PeerUnreachable(f"{peer} does not answer: {error.strerror or error}") from None


@dataclass(frozen=True)
class Webhook:
    """A server that takes JSON.

    Parameters
    ----------
    name, url
        What messages call it, and where it is; the URL may be a secret.
    login : Bearer, optional
        A token.
    tls : Tls, optional
        Certificates, where the system's authorities do not do.
    timeout_s : float
        How long an answer may take.
    """

    name: str
    url: str = field(repr=False)
    login: Login | None = field(default=None, repr=False)
    tls: Tls | None = None
    timeout_s: float = 30.0

    def send(self, message: Message) -> None:
        """Send a POST; any answer of success means that it was taken."""
        peer = httpx.URL(self.url).host
        line = secured(self.login, self.tls)
        head = {"Content-Type": "application/json", "Idempotency-Key": message.key}
        with connected(peer), httpx.Client(timeout=within(self.timeout_s), **line) as client:
            answer = client.post(self.url, content=_json(message), headers=head)
        if not answer.is_success:
            raise PeerUnreachable(f"{peer} refuses the alarm (HTTP {answer.status_code})")


@dataclass(frozen=True)
class SyslogChannel:
    """A receiver of syslog messages, and what messages call it."""

    name: str
    receiver: SyslogReceiver

    def send(self, message: Message) -> None:
        """Send one message."""
        severity = Severity.CRITICAL if message.urgent else Severity.ERROR
        if message.news == News.OVER:
            severity = Severity.NOTICE
        text, time = "; ".join(message.lines), message.last
        written = syslog_message(text, time=time, severity=severity, message_id="ALARM")
        self.receiver.send([written])


def _json(message: Message) -> str:
    values = {
        "id": message.id,
        "state": message.news,
        "cause": message.cause,
        "urgent": message.urgent,
        "count": message.count,
        "first": message.first.isoformat(),
        "last": message.last.isoformat(),
        "message": message.message,
        "studies": message.studies,
        "source": message.source,
        "text": "\n".join(message.lines),
    }
    return json.dumps(values)


def _shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "seconds")
