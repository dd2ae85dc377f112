"""HTTP as the DICOMweb and Orthanc clients need it: timeouts, repeated GETs, our errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from dicom_io.archives.answers import http_error
from dicom_io.errors import PeerUnreachable

Credentials = tuple[str, str]
"""User and password, for HTTP Basic authentication."""

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


@contextmanager
def connected(peer: str) -> Iterator[None]:
    """Map what fails on the line within a block to `PeerUnreachable`."""
    try:
        yield
    except httpx.HTTPError as error:
        raise PeerUnreachable(f"{peer} does not answer: {type(error).__name__}") from None


def displayable(url: str) -> str:
    """Return a URL for messages: without user information, query and fragment."""
    parsed = httpx.URL(url)
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
