"""Compressed frames are decoded in a child process: what ends or hangs a codec ends only that.

The codecs are C and C++ libraries, and a damaged stream may abort or crash them. One child serves a
process for as long as it lives; it is started when it is first needed, and again when it died.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicom_io.errors import DecoderUnavailable, UnreadableImage, UnsupportedTransferSyntax
from dicom_io.pixel_data.codestream import has_sign, refuse_disagreement
from dicom_io.pixel_data.layout import PixelLayout

DECODED = frozenset(
    {
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
        HTJ2K,
        RLELossless,
    }
)
"""Compressed transfer syntaxes that are decoded."""

LONGEST_S = 30.0
"""A frame takes a few hundredths of a second; a thousand times that is for a busy machine."""

# After one that took too long the next may take a third, down to this: a series that was made to
# hang costs a minute, not a quarter of an hour
_SHORTEST_S = 1.0

_START_S = 120.0  # importing the codecs takes half a second, on a busy machine many times that
# -P: a folder of the working directory that is called dicom_io would run in place of ours
_COMMAND = (sys.executable, "-P", "-m", "dicom_io.pixel_data.child")


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    pipe: Connection
    parent: int

    def end(self) -> int:
        """Kill it and return its status: the signal that had killed it before, as a negative."""
        self.pipe.close()
        try:
            return self.process.wait(0.5)  # one that crashes is not dead before its pipe closes
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def require_decoder(syntax: UID) -> None:
    """Raise UnsupportedTransferSyntax for a compressed syntax that no codec reads."""
    if syntax not in DECODED:
        raise UnsupportedTransferSyntax(f"no decoder for {syntax.name}")


class Decoder:
    """Decodes frames in a child process.

    Parameters
    ----------
    longest_s : float
        Time limit of one frame.
    """

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = self._limit_s = longest_s
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def decode(self, frame: bytes, syntax: UID, layout: PixelLayout) -> NDArray[Any]:
        """Decode one frame that agrees with its header.

        Parameters
        ----------
        frame : bytes
            One compressed frame.
        syntax : UID
            Its transfer syntax.
        layout : PixelLayout
            What the header says.

        Returns
        -------
        ndarray of int, shape (rows, columns)

        Raises
        ------
        UnreadableImage
            It disagrees with its header, is damaged, or ends, overfills or hangs the codec.
        UnsupportedTransferSyntax
            No codec reads its transfer syntax.
        DecoderUnavailable
            The child cannot be started.
        """
        require_decoder(syntax)
        refuse_disagreement(frame, syntax, layout)
        layout = replace(
            layout,
            high_bit=layout.bits_stored - 1,  # codecs give the lowest bits
            signed=layout.signed or has_sign(frame, syntax),  # what was encoded is what was meant
        )
        head = json.dumps({"syntax": str(syntax), "limit_s": self._limit_s, **asdict(layout)})
        with self._lock:
            kind, body = self._ask(head.encode() + b"\n" + frame)
        if kind != b"frame":
            raise UnreadableImage(f"its pixel data is damaged ({body.decode('ascii', 'replace')})")
        if len(body) != layout.frame_bytes:
            raise UnreadableImage(f"its pixel data has {len(body)} bytes, not {layout.frame_bytes}")
        return layout.values_of(body)

    def close(self) -> None:
        """End the child; the next frame starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: bytes) -> tuple[bytes, bytes]:
        child = self._child
        if child is None or child.parent != os.getpid() or child.process.poll() is not None:
            self._end()
            child = self._child = _started()
        try:
            child.pipe.send_bytes(question)
            answered = child.pipe.poll(self._limit_s)
            if answered:
                kind, _, body = child.pipe.recv_bytes().partition(b"\n")
                self._limit_s = self._longest_s
                return kind, body
            self._end()
            status = -signal.SIGALRM
        except (OSError, EOFError):
            status = self._end()
        if status == -signal.SIGALRM:
            self._limit_s = min(self._limit_s, max(_SHORTEST_S, self._limit_s / 3))
        return b"fault", _cause(status).encode()

    def _end(self) -> int:
        child, self._child = self._child, None
        # a process that was forked off leaves its parent's child alone
        return child.end() if child and child.parent == os.getpid() else 0


def _started() -> _Child:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            (*_COMMAND, str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # the child reads what codecs print
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # its threads count as memory
        )
    child = _Child(process, Connection(ours.detach()), os.getpid())
    try:
        if child.pipe.poll(_START_S):
            child.pipe.recv_bytes()
            return child
    except (OSError, EOFError):
        pass
    raise DecoderUnavailable(f"the decoder cannot be started (status {child.end()})")


def _cause(status: int) -> str:
    if status == -signal.SIGALRM:
        return "it takes too long to decode"
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"it ended the decoder, {name}"


DECODER = Decoder()
"""The decoder of this process."""
atexit.register(DECODER.close)
