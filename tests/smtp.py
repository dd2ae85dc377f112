"""A mail server that keeps what it is sent, by the library aiosmtpd."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from dicom_io.archives.tls import Tls
from tests.ports import free_port

USER, PASSWORD = "ctscribe", "secret"


class Mailbox:
    """Keeps mails."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 kept"


def _logged_in(server: SMTP, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
    known = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=login == known)


@contextmanager
def listening(mailbox: Mailbox, tls: Tls | None = None) -> Iterator[int]:
    """Listen on loopback; with certificates, STARTTLS and a login are asked for."""
    context: ssl.SSLContext | None = replace(tls, authorities=None).server() if tls else None
    options: dict[str, Any] = (
        {
            "tls_context": context,
            "require_starttls": True,
            "authenticator": _logged_in,
            "auth_required": True,
        }
        if context
        else {}
    )
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()
