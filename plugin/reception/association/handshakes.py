"""TLS handshakes of the receiver, each in a thread of its own, and no more than so many at a time.

Who does not finish one holds a place here for a bounded time, and no place for an association.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dicom_io.archives.tls import Tls, fault_of
from dicom_io.errors import ConfigurationError
from plugin.reception.association.lobby import Strangers
from plugin.state.kept.refusals import TURNED_AWAY

# A handshake is two round trips and a few milliseconds of computing
TIMEOUT_S = 10.0
# Silent clients must come faster than six a second to keep others from shaking hands
MOST = 64


class Handshakes:
    """Secures accepted connections.

    Parameters
    ----------
    tls : Tls
        Our certificate, and whose clients we believe. The files are read for every connection: a
        certificate that was renewed counts from the next one on.
    timeout_s : float
        For one handshake.
    most : int
        Beyond so many at a time, the oldest is given up.

    Raises
    ------
    ConfigurationError
        A file is missing or holds something else.
    """

    def __init__(self, tls: Tls, timeout_s: float = TIMEOUT_S, most: int = MOST) -> None:
        tls.server()
        self._tls = tls
        self._timeout_s = timeout_s
        self._most = most
        self._strangers = Strangers()
        self._lock = threading.Lock()
        # In the order in which they began
        self._under_way: list[ssl.SSLSocket] = []

    def secure(self, peer: socket.socket, address: str) -> socket.socket | None:
        """Return the secured connection, or None after closing it.

        Parameters
        ----------
        peer : socket.socket
            Just accepted.
        address : str
            Of the peer, for the log.
        """
        usual = peer.gettimeout()
        try:
            secured = self._tls.server().wrap_socket(
                peer, server_side=True, do_handshake_on_connect=False
            )
            with self._place(secured):
                secured.settimeout(self._timeout_s)
                secured.do_handshake()
                secured.settimeout(usual)
                return secured
        except (OSError, ConfigurationError) as error:
            cause = fault_of(error) or (
                str(error)
                if isinstance(error, ConfigurationError)
                else "the connection ended in the handshake"
            )
            self._strangers.tell(address, f"no TLS: {cause}")
            TURNED_AWAY.note("", address, "NoTls")
            peer.close()
            return None

    @contextmanager
    def _place(self, secured: ssl.SSLSocket) -> Iterator[None]:
        """Hold a place for a handshake; where there is none, the oldest loses its."""
        with self._lock:
            self._under_way.append(secured)
            oldest = self._under_way.pop(0) if len(self._under_way) > self._most else None
        if oldest is not None:
            with suppress(OSError):
                # Not SSLSocket's own, which is not made for two threads
                socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        done = False
        try:
            yield
            done = True
        finally:
            with self._lock, suppress(ValueError):
                self._under_way.remove(secured)
            if not done:
                secured.close()
