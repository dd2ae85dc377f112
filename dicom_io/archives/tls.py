"""TLS for DIMSE and HTTPS, as DICOM profiles it: BCP 195, non-downgrading (PS3.15 B.9 and B.10)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_io.errors import ConfigurationError

# PS3.15 B.10: TLS 1.2 at least, with these suites (ECDHE and DHE with AES in GCM); TLS 1.3 has
# none that are worse
OLDEST = ssl.TLSVersion.TLSv1_2
SUITES = "ECDHE+AESGCM:DHE+AESGCM"

# X.509 verification results, as OpenSSL numbers them (x509_vfy.h)
_VERIFY = {
    9: "its certificate is not yet valid",
    10: "its certificate has expired",
    18: "its certificate is self-signed, and not among the authorities",
    19: "its certificate is of an authority that is not among ours",
    20: "its certificate is of an authority that is not among ours",
    21: "its certificate is of an authority that is not among ours",
    62: "its certificate is for another host name",
    64: "its certificate is for another IP address",
}
# Alerts of the peer and faults of the line (RFC 8446 6.2), by a part of OpenSSL's reason
_REASONS = {
    "CERTIFICATE_REQUIRED": "it asks for a client certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no client certificate",
    "UNKNOWN_CA": "it does not know the authority of our certificate",
    "CERTIFICATE_EXPIRED": "our certificate has expired",
    "BAD_CERTIFICATE": "it does not accept our certificate",
    "HANDSHAKE_FAILURE": "it refuses the handshake: it may ask for a client certificate",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks no version of TLS from 1.2 on",
    "PROTOCOL_VERSION": "it speaks no version of TLS from 1.2 on",
    "NO_SHARED_CIPHER": "it offers no cipher suite of BCP 195",
}


class _Socket(ssl.SSLSocket):
    """Tells its context what went wrong: pynetdicom only says that there is no association."""

    context: Context

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError as error:
            self.context.fault = error
            raise

    def shutdown(self, how: int) -> None:
        """End the line; a peer that is gone is no reason for pynetdicom not to close it."""
        with suppress(OSError):
            super().shutdown(how)

    # With TLS 1.3 a server refuses our certificate after the handshake
    def read(self, *arguments: Any) -> Any:
        try:
            return super().read(*arguments)
        except ssl.SSLError as error:
            self.context.fault = error
            raise


class Context(ssl.SSLContext):
    """A context that keeps the last fault of its connections."""

    sslsocket_class = _Socket
    fault: OSError | None = None


@dataclass(frozen=True)
class Tls:
    """Certificates of one side of a line, in PEM files.

    Parameters
    ----------
    authorities : Path, optional
        Whose certificates are believed. A client without it believes those of the system; a server
        without it asks for no client certificate.
    certificate, key : Path, optional
        Ours, with the chain behind it, and its private key.
    passphrase : str, optional
        Of the key.
    name : str, optional
        The name in the peer's certificate, where it is not its host.
    check_name : bool
        False where `authorities` holds the peer's own certificate, which no other can show.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    name: str | None = None
    check_name: bool = True

    def client(self) -> Context:
        """Make the context of one connection to a peer, whose certificate and name are checked.

        Raises
        ------
        ConfigurationError
            A file is missing or holds something else.
        """
        context = _context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.check_name
        if self.authorities is None:
            context.load_default_certs()
        self._load(context)
        return context

    def server(self) -> Context:
        """Make the context of a server; with `authorities` it asks for a client certificate.

        Raises
        ------
        ConfigurationError
            A file is missing or holds something else.
        """
        context = _context(ssl.PROTOCOL_TLS_SERVER)
        if self.authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        self._load(context)
        return context

    def _load(self, context: Context) -> None:
        if self.authorities is not None:
            _readable(self.authorities)
            try:
                context.load_verify_locations(self.authorities)
            except ssl.SSLError:
                raise ConfigurationError(f"{self.authorities}: no certificates in PEM") from None
        if self.certificate is None:
            return
        key = self.key or self.certificate
        _readable(self.certificate)
        _readable(key)
        try:
            # Without a passphrase, OpenSSL would ask for one on the terminal
            context.load_cert_chain(self.certificate, key, self.passphrase or "")
        except ssl.SSLError:
            raise ConfigurationError(
                f"{self.certificate}: not a certificate in PEM, or {key} is not its key, or the "
                "key's passphrase is wrong"
            ) from None


def fault_of(error: BaseException | None) -> str | None:
    """Say in plain words what failed in TLS; None where something else did.

    Parameters
    ----------
    error : BaseException or None
        Or one that it was raised from.
    """
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return _VERIFY.get(one.verify_code, f"its certificate: {one.verify_message}")
        if isinstance(one, ssl.SSLError):
            reason = one.reason or "the connection ended in the handshake"
            return next((text for part, text in _REASONS.items() if part in reason), reason)
        if isinstance(one, TimeoutError) and "handshake" in str(one):
            return "it does not answer the TLS handshake in time"
    return None


def fault_seen(context: Context | None) -> str | None:
    """Say what failed on the connections of a context."""
    if context is None or context.fault is None:
        return None
    return fault_of(context.fault) or "it ended the connection in the TLS handshake"


def _context(protocol: int) -> Context:
    context = Context(protocol)
    context.minimum_version = OLDEST
    context.set_ciphers(SUITES)
    # `authorities` may hold the one certificate that a peer made for itself, or was given
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
