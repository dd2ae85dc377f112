"""Bodies of type multipart/related, made and read piece by piece (RFC 2387, RFC 2046 5.1)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from email.message import Message

from dicom_io.errors import NotRetrieved


def enclose(content: bytes) -> tuple[bytes, str]:
    """Make the body that holds one DICOM object, and its Content-Type."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f'multipart/related; type="application/dicom"; boundary={boundary}'


def parts(chunks: Iterable[bytes], content_type: str) -> Iterator[Iterator[bytes]]:
    """Yield the parts of a body, each as the pieces of its content, to be read in this order.

    Parameters
    ----------
    chunks : iterable of bytes
        The body as it arrives. No more than one chunk and a delimiter is kept in memory.
    content_type : str
        The header of the message, which names the boundary.

    Raises
    ------
    NotRetrieved
        The body has another type, or ends before its last delimiter.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_maintype() != "multipart" or not boundary:
        raise NotRetrieved("the body is not multipart/related")
    delimiter = f"\r\n--{boundary}".encode()
    body = _Stream(chunks)
    _skip(body.until(delimiter))
    while not body.starts_with(b"--"):
        _skip(body.until(b"\r\n\r\n"))
        part = body.until(delimiter)
        yield part
        _skip(part)  # what the caller left


class _Stream:
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray(b"\r\n")  # the first delimiter need not follow a line

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield what stands before the next `mark`, and step behind it."""
        while (at := self._held.find(mark)) < 0:
            # The mark may have begun at the end of this chunk
            ready = max(0, len(self._held) - len(mark) + 1)
            yield bytes(self._held[:ready])
            del self._held[:ready]
            self._receive()
        yield bytes(self._held[:at])
        del self._held[: at + len(mark)]

    def starts_with(self, mark: bytes) -> bool:
        while len(self._held) < len(mark):
            self._receive()
        return self._held.startswith(mark)

    def _receive(self) -> None:
        try:
            self._held += next(self._chunks)
        except StopIteration:
            raise NotRetrieved("the body ends before its last delimiter") from None


def _skip(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass
