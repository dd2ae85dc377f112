"""The child process of `decoder`: frames come in on a socket, decoded values go out.

It holds nothing but the codecs, and gives up time and memory beyond its limits.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import sys
import tempfile
import warnings
from multiprocessing.connection import Connection
from typing import Any

import gdcm
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import HTJ2K, UID, HTJ2KLossless, HTJ2KLosslessRPCL, JPEGExtended12Bit, RLELossless

# The codecs alone take half of it; the largest frame that is let in takes 0.25 GiB decoded
_MOST_MEMORY = 3 * 2**30
_PR_SET_PDEATHSIG = 1  # Linux, prctl.h
_STDERR = 2
_MOST_SAID = 2**20  # bytes; the first complaint of a codec is all that counts

# JWRN_EXTRANEOUS_DATA of libjpeg, before EOI
_LEFT_OVER = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_JPEG_END = b"\xff\xd9"
# All others are GDCM's
_PLUGINS = {
    RLELossless: "pydicom",
    **dict.fromkeys((HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL), "pylibjpeg"),
}


def main(descriptor: int) -> None:
    """Answer until the other side is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold a patient's image
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, which ends this one
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_SAID, _MOST_SAID))
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), _STDERR)
    # more pixels than the header says
    warnings.filterwarnings("error", "The decoded RLE segment")
    pipe = Connection(descriptor)
    pipe.send_bytes(b"ready")
    while True:
        try:
            question = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        head, _, frame = question.partition(b"\n")
        pipe.send_bytes(_answer(json.loads(head), frame))


def _answer(head: dict[str, Any], frame: bytes) -> bytes:
    signal.setitimer(signal.ITIMER_REAL, head.pop("limit_s"))  # its default is to kill, even in C
    try:
        os.ftruncate(_STDERR, os.lseek(_STDERR, 0, os.SEEK_SET))
        values = _decode(UID(head.pop("syntax")), frame, head)
        if _is_damaged(frame, os.pread(_STDERR, _MOST_SAID, 0)):
            return b"fault\ncorrupt JPEG"
        return b"frame\n" + values
    except Exception as error:  # noqa: BLE001  whatever a codec says, the image is unreadable
        return b"fault\n" + type(error).__name__.encode()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _is_damaged(frame: bytes, said: bytes) -> bool:
    """Whether libjpeg filled up what is lost, or left some over, which it says nowhere else.

    Zeros that are left over at the end are padding, and the image is whole. Anything else is what
    remains of a scan that was lost track of: a damaged part is read as too few bytes.
    """
    complaints = said.count(b"Corrupt JPEG data")
    if complaints == 1 and (left := _LEFT_OVER.search(said)):
        return bool(frame[: frame.rfind(_JPEG_END)][-int(left[1]) :].strip(b"\0"))
    return complaints > 0


def _decode(syntax: UID, frame: bytes, layout: dict[str, Any]) -> bytes:
    """The values in little endian, in as many bits as the header allocates."""
    if syntax == JPEGExtended12Bit:
        return _by_gdcm(syntax, frame, layout)
    options: dict[str, Any] = {
        "decoding_plugin": _PLUGINS.get(syntax, "gdcm"),
        "rows": layout["rows"],
        "columns": layout["columns"],
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": layout["bits_allocated"],
        "bits_stored": layout["bits_stored"],
        "pixel_representation": int(layout["signed"]),
        "photometric_interpretation": layout["photometric"],
        "pixel_keyword": "PixelData",
    }
    values, _ = get_decoder(syntax).as_array(encapsulate([frame]), index=0, **options)
    kind = "i" if layout["signed"] else "u"
    return values.astype(f"<{kind}{layout['bits_allocated'] // 8}").tobytes()


def _by_gdcm(syntax: UID, frame: bytes, layout: dict[str, Any]) -> bytes:
    """JPEG of 12 bits, which pydicom refuses to ask GDCM for although it reads it exactly."""
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout["columns"], layout["rows"], 1))
    grey = gdcm.PhotometricInterpretation.GetPIType(layout["photometric"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    bits, signed = layout["bits_stored"], int(layout["signed"])
    image.SetPixelFormat(gdcm.PixelFormat(1, layout["bits_allocated"], bits, bits - 1, signed))
    image.SetDataElement(element)
    return str(image.GetBuffer()).encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main(int(sys.argv[1]))
