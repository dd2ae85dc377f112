"""HTTP as the DICOMweb and Orthanc clients need it: timeouts, repeated GETs, our errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_auth import HttpxAuthException, OAuth2, OAuth2ClientCredentials

from dicom_io.archives.answers import MANY, http_error
from dicom_io.archives.tls import Tls, fault_of
from dicom_io.errors import PeerUnreachable

Credentials = tuple[str, str]
"""User and password, for HTTP Basic authentication."""


class Bearer(httpx.Auth):
    """A token that a person made, for `Authorization: Bearer` (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


@dataclass(frozen=True)
class ClientCredentials:
    """Whom to ask for tokens, and as whom: the OAuth 2.0 client credentials grant (RFC 6749 4.4).

    Parameters
    ----------
    token_url : str
        Of the authorization server.
    client_id, client_secret : str
        Ours.
    scope : str, optional
        What the tokens are to be good for.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None


Login = Credentials | Bearer | ClientCredentials
"""How a client says who it is."""

TIMEOUT_S = 30.0
PATIENCE = httpx.Timeout(600.0, connect=10.0)
"""Between two pieces of a long list or a series: an archive may have to read them from tape."""


def within(seconds: float) -> httpx.Timeout:
    """How long to wait for each piece of an answer; a connection stands in 10 s or never."""
    return httpx.Timeout(seconds, connect=10.0)


# What servers answer to a request to store that holds nothing: bad request, conflict, length or
# type missing, not to be processed
NOTHING_TO_STORE = (400, 409, 411, 415, 422)

# A GET changes nothing; three attempts within two seconds bridge the restart of a proxy
GET_ATTEMPTS = 3
GET_PAUSE_S = 0.5


def ask(request: Callable[[], httpx.Response], peer: str, *accepted: int) -> httpx.Response:
    """Make one request and return its response, whose status is 2xx.

    Parameters
    ----------
    request : callable
        Makes the request.
    peer : str
        How messages name the peer: no credentials, no query.
    *accepted : int
        Further statuses whose response is returned.

    Raises
    ------
    PeerUnreachable
        No connection, no answer in time, 408, 425, 429 or 5xx.
    AssociationRejected
        Any other status: the peer answers and refuses. Its body may hold a patient's identity
        and is not repeated.
    """
    with connected(peer):
        response = request()
    if response.is_success or response.status_code in accepted:
        return response
    response.close()
    raise http_error(peer, response.status_code)


def ask_again(request: Callable[[], httpx.Response], peer: str) -> httpx.Response:
    """Make a request that changes nothing (GET) up to three times; otherwise as `ask`."""
    for attempt in range(1, GET_ATTEMPTS):
        try:
            return ask(request, peer)
        except PeerUnreachable:
            time.sleep(GET_PAUSE_S * attempt)
    return ask(request, peer)


def secured(login: Login | None, tls: Tls | None) -> dict[str, Any]:
    """Return what a client of httpx needs to say who it is, and to know whom to believe.

    Parameters
    ----------
    login : Login, optional
        Where tokens are asked for, they are kept until half a minute before they expire.
    tls : Tls, optional
        Also of the server that gives the tokens; without it the system's authorities are believed.
    """
    verify: Any = tls.client() if tls else True
    if not isinstance(login, ClientCredentials):
        return {"auth": login, "verify": verify}
    scope = {"scope": login.scope} if login.scope else {}
    tokens = _Tokens(
        login.token_url,
        login.client_id,
        login.client_secret,
        timeout=TIMEOUT_S,
        **scope,
    )
    tokens.verify = verify
    return {"auth": tokens, "verify": verify}


class _Tokens(OAuth2ClientCredentials):
    """Asks for tokens over a connection like that of the archive, and leaves none open."""

    verify: Any = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Show the token; if it is refused, it was revoked: ask for another, once."""
        (asked,) = super().auth_flow(request)
        response = yield asked
        if response.status_code == httpx.codes.UNAUTHORIZED:
            OAuth2.token_cache.tokens.pop(self.state, None)
            (asked,) = super().auth_flow(request)
            yield asked

    def request_new_token(self) -> Any:
        with httpx.Client(verify=self.verify) as self.client:
            return super().request_new_token()


@contextmanager
def connected(peer: str) -> Iterator[None]:
    """Map what fails on the line within a block to `PeerUnreachable`."""
    try:
        yield
    except httpx.HTTPError as error:
        if fault := fault_of(error):
            raise PeerUnreachable(f"no TLS with {peer}: {fault}", MANY) from None
        if isinstance(error, HttpxAuthException):
            # Its text may hold the answer of the authorization server
            what = type(error).__name__
            raise PeerUnreachable(f"no token for {peer}: {what}", MANY) from None
        raise PeerUnreachable(f"{peer} does not answer: {type(error).__name__}") from None


def displayable(url: str) -> str:
    """Return a URL for messages: without user information, query and fragment."""
    parsed = httpx.URL(url)
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
