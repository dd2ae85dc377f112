"""Look for many values in many bytes, in every encoding that they could stand in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_PREFIX = 8
"""Bytes that are compared at once; shorter values turn up by chance in gigabytes of pixels."""

_CHUNK = 1 << 24
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


@dataclass(frozen=True)
class Needles:
    """Values as bytes, by their first eight.

    Parameters
    ----------
    prefixes : ndarray of uint64
        Sorted.
    starts : ndarray of bool, shape (65536,)
        Which first two bytes there are: most places are ruled out by these.
    values : dict of int to list of (bytes, str)
        By prefix: the whole value, and whose it is.
    """

    prefixes: NDArray[np.uint64]
    starts: NDArray[np.bool_]
    values: Mapping[int, list[tuple[bytes, str]]]

    @classmethod
    def of(cls, values: Iterable[tuple[str, str]]) -> Needles:
        """Prepare (value, owner) pairs: as written, in capitals, in small letters."""
        by_prefix: dict[int, list[tuple[bytes, str]]] = {}
        for value, owner in values:
            for encoded in _encoded(value):
                prefix = int.from_bytes(encoded[:_PREFIX], "little")
                by_prefix.setdefault(prefix, []).append((encoded, owner))
        prefixes = np.array(sorted(by_prefix), dtype=np.uint64)
        starts = np.zeros(1 << 16, dtype=np.bool_)
        starts[(prefixes & np.uint64(0xFFFF)).astype(np.int64)] = True
        return cls(prefixes, starts, by_prefix)

    @property
    def longest(self) -> int:
        """Bytes of the longest value."""
        every = (len(encoded) for found in self.values.values() for encoded, _ in found)
        return max(every, default=_PREFIX)

    def owners_in_file(self, path: Path) -> set[str]:
        """Whose values stand anywhere in a file."""
        with path.open("rb") as file:
            return {
                owner for chunk in _chunks(file, self.longest) for owner in self.owners_in(chunk)
            }

    def owners_in(self, content: bytes) -> Iterator[str]:
        """Whose values stand anywhere in some bytes."""
        if len(content) < _PREFIX or not len(self.prefixes):
            return
        octets = np.frombuffer(content, np.uint8)
        pairs = octets[:-1].astype(np.uint16) | (octets[1:].astype(np.uint16) << 8)
        places = np.flatnonzero(self.starts[pairs[: len(octets) - _PREFIX + 1]])
        windows = np.lib.stride_tricks.sliding_window_view(octets, _PREFIX)[places]
        prefixes = np.ascontiguousarray(windows).view("<u8")[:, 0]
        nearest = np.searchsorted(self.prefixes, prefixes).clip(max=len(self.prefixes) - 1)
        for place in places[self.prefixes[nearest] == prefixes]:
            prefix = int.from_bytes(content[place : place + _PREFIX], "little")
            for encoded, owner in self.values[prefix]:
                if content.startswith(encoded, int(place)):
                    yield owner


def _encoded(value: str) -> Iterator[bytes]:
    for spelling in dict.fromkeys((value, value.upper(), value.lower())):
        for encoding in _ENCODINGS:
            encoded = spelling.encode(encoding, "ignore")
            if len(encoded) >= _PREFIX:
                yield encoded


def _chunks(file: BinaryIO, overlap: int) -> Iterator[bytes]:
    """A file in pieces that overlap, so that no value is cut in every piece."""
    rest = b""
    while piece := file.read(_CHUNK):
        yield rest + piece
        rest = (rest + piece)[-overlap:]
