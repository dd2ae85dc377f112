"""Calls to the hosts that run a model: made again, made elsewhere, and given up in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from dicom_io.archives.http import displayable
from dicom_io.errors import EngineError, EngineUnavailable
from engine.serving.hosts import Host, Hosts

T = TypeVar("T")

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
PROBE_TIMEOUT = httpx.Timeout(5.0)


class Unanswered(EngineUnavailable):
    """What a host did not answer.

    Parameters
    ----------
    message : str
        For a person.
    after_s : float
        When the host wants to be asked again, if it said so.
    passing : bool
        Whether it may answer in a moment.
    taken : bool
        Whether it may have begun to work, and may have failed of it.
    """

    def __init__(
        self, message: str, after_s: float = 0.0, *, passing: bool = True, taken: bool = False
    ):
        super().__init__(message)
        self.after_s = after_s
        self.passing = passing
        self.taken = taken


Refusal = Callable[[Host, httpx.Response], EngineError]
"""What an answer that is no success means."""


class Calls:
    """Make calls where the fewest wait; may be shared between threads.

    A call that found no answer is made again. A host that cannot be reached or is full is passed
    over while others answer. One that took a request and went silent may have died of it: no other
    host gets the same request at once.

    Parameters
    ----------
    urls : tuple of str
        At least one.
    refusal : callable
        See `Refusal`.
    headers : mapping of str to str
        Of every request.
    timeout_s : float
        How long an answer may take.
    patience_s : float
        How long to try again while the servers are down, full or lose requests.
    silence_s : float
        After so long without a sign of life an answer is given up.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        refusal: Refusal,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        patience_s: float,
        silence_s: float,
    ):
        self._refusal = refusal
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        timeout = httpx.Timeout(silence_s, connect=5.0, pool=None)
        self.hosts = Hosts(
            [
                Host(displayable(url), httpx.Client(base_url=url, headers=headers, timeout=timeout))
                for url in urls
            ]
        )
        self.name = ", ".join(host.name for host in self.hosts.all)

    def close(self) -> None:
        """Close the connections."""
        for host in self.hosts.all:
            host.client.close()

    def first_that(self, call: Callable[[Host], T]) -> T:
        """Make a call at one host after the other until one answers.

        Raises
        ------
        Unanswered
            None does.
        """
        tried: list[Host] = []
        while True:
            host = self.hosts.first(tried)
            tried.append(host)
            try:
                answer = call(host)
            except Unanswered as error:
                self.hosts.failed(host, str(error))
                if len(tried) == len(self.hosts.all):
                    raise
            else:
                self.hosts.answered(host)
                return answer

    def patiently(self, call: Callable[[], T], given_up: Callable[[], None]) -> T:
        """Make a call again while it is likely to be answered soon.

        Parameters
        ----------
        call : callable
            Raises `Unanswered`.
        given_up : callable
            Told when waiting cannot help.

        Raises
        ------
        EngineUnavailable
            It was not answered.
        """
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except Unanswered as error:
                wait_s = error.after_s or pause_s
                final = not error.passing or (error.taken and len(self.hosts.all) > 1)
                if final:
                    given_up()
                if final or time.monotonic() + wait_s > deadline:
                    raise EngineUnavailable(str(error)) from None
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def somewhere(self, call: Callable[[Host], T]) -> T:
        """Make a call at one host, and at the others in turn unless it was taken."""
        tried: list[Host] = []
        while True:
            host = self.hosts.take(tried)
            tried.append(host)
            try:
                answer = call(host)
            except Unanswered as error:
                self.hosts.failed(host, str(error), error.after_s)
                if error.taken or len(tried) == len(self.hosts.all):
                    raise
            else:
                self.hosts.answered(host)
                return answer
            finally:
                self.hosts.give(host)

    @contextmanager
    def answer(
        self, host: Host, method: str, path: str, **request: Any
    ) -> Iterator[httpx.Response]:
        """Make one request; its answer is a success.

        Parameters
        ----------
        host : Host
            Where.
        method, path : str
            Of the request; the other keywords are httpx's.

        Raises
        ------
        EngineError
            See `Refusal`; `Unanswered` where there was no answer.
        """
        try:
            with host.client.stream(method, path, **request) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(host, response)
                yield response
        except httpx.ReadTimeout:
            raise silent(host, taken=method == "POST") from None
        except httpx.HTTPError as error:
            taken = method == "POST" and not isinstance(error, _NOT_CONNECTED)
            message = f"{host.name} does not answer: {type(error).__name__}"
            raise Unanswered(message, taken=taken) from None

    def in_time(self, host: Host, parts: Iterator[T]) -> Iterator[T]:
        """Pass on what a server sends for as long as an answer may take."""
        deadline = time.monotonic() + self._timeout_s
        for part in parts:
            if time.monotonic() > deadline:
                raise silent(host)
            yield part


_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)


def silent(host: Host, *, taken: bool = True) -> Unanswered:
    """Say that a host gave no answer in time."""
    return Unanswered(f"{host.name} gave no answer in time", passing=False, taken=taken)


def authorized(token: str | None) -> dict[str, str]:
    """Return the headers that carry a token (RFC 6750)."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def read_json(content: bytes | str) -> Any:
    """Read JSON; what is none was not written by an engine, and says nothing."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {}


def lines(parts: Iterator[bytes]) -> Iterator[str]:
    """Split what a server sends at line feeds.

    `iter_lines` of httpx splits at U+2028 and others, too, which a text in JSON may hold.
    """
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def retry_after_s(response: httpx.Response) -> float:
    """Return when a server wants to be asked again; 0 where it does not say."""
    header = response.headers.get("Retry-After")
    return float(header) if header is not None and header.isdecimal() else 0.0
