"""What a client takes: the Accept header of PS3.18 8.7, and bodies of several parts."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message

from fastapi import Request
from fastapi.responses import StreamingResponse

_PIECE = 1 << 20


@dataclass(frozen=True)
class Taken:
    """One media range of an Accept header; of multipart/related the type of its parts.

    Parameters
    ----------
    media_type : str
        In small letters.
    multipart : bool
        Whether the answer is to have several parts.
    transfer_syntax : str
        Empty where the range names none.
    quality : float
        The q of RFC 9110 12.4.2.
    """

    media_type: str
    multipart: bool = False
    transfer_syntax: str = ""
    quality: float = field(default=1.0, compare=False)

    def covers(self, media_type: str) -> bool:
        """Whether a type is in the range."""
        kind, _, sub = self.media_type.partition("/")
        own, _, own_sub = media_type.partition("/")
        return kind in ("*", own) and sub in ("*", own_sub)


def accepted(request: Request) -> list[Taken]:
    """Return what a request accepts, the best first; anything where it does not say."""
    header = request.query_params.get("accept") or ",".join(request.headers.getlist("accept"))
    ranges = [_taken(one) for one in _split(header) if one.strip()]
    return sorted(ranges, key=lambda one: -one.quality) or [Taken("*/*")]


def takes(ranges: Iterable[Taken], *media_types: str) -> str | None:
    """Return the first of some media types that is accepted, in the client's order."""
    for one in ranges:
        for media_type in media_types:
            if one.quality > 0 and one.covers(media_type):
                return media_type
    return None


def multipart(parts: Iterable[tuple[str, Iterable[bytes]]], media_type: str) -> StreamingResponse:
    """Answer with a body of several parts (RFC 2387).

    Parameters
    ----------
    parts : iterable
        Content-Type and content of each, in pieces.
    media_type : str
        Of the parts.
    """
    # 32 random digits: a shorter boundary occurs in pixel data sooner or later
    boundary = uuid.uuid4().hex

    def body() -> Iterator[bytes]:
        for content_type, pieces in parts:
            yield f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
            yield from pieces
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    plain = media_type.partition(";")[0]
    return StreamingResponse(
        gathered(body()), media_type=f'multipart/related; type="{plain}"; boundary={boundary}'
    )


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces: each one that is sent costs a change of threads and a system call."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def pieces_of(path: str) -> Iterator[bytes]:
    """Yield a file piece by piece."""
    with open(path, "rb") as file:  # noqa: PTH123  one for each slice
        while piece := file.read(_PIECE):
            yield piece


def _split(header: str) -> Iterator[str]:
    """Split at commas that no quotes enclose."""
    part, quoted = "", False
    for sign in header:
        quoted ^= sign == '"'
        if sign == "," and not quoted:
            yield part
            part = ""
        else:
            part += sign
    yield part


def _taken(text: str) -> Taken:
    message = Message()
    message["Content-Type"] = text.strip()
    kind, *parameters = message.get_params() or [("*/*", "")]
    # Typed as text by RFC 2231: (charset, language, value) where it is encoded, which is nobody's
    named = {name.lower(): str(value) for name, value in parameters}
    several = kind[0].lower() == "multipart/related"
    return Taken(
        media_type=named.get("type", "*/*").lower() if several else kind[0].lower(),
        multipart=several,
        transfer_syntax=named.get("transfer-syntax", "").strip(),
        quality=_quality(named.get("q", "1")),
    )


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
