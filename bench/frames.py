"""What it costs to decode frames in a child process. Run `python -m bench.frames`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_io.pixel_data.decoder import Decoder
from dicom_io.pixel_data.fragments import frames_of
from dicom_io.pixel_data.layout import PixelLayout

SIDE, FRAMES = 512, 24
LAYOUT = PixelLayout(SIDE, SIDE, 16, 16, 15, signed=False)


def compressed(syntax: UID) -> bytes:
    """One slice: a body with the noise of CT in air."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    noise = np.random.default_rng(0).normal(1064, 12, (SIDE, SIDE))
    stored = np.where(rows**2 + columns**2 < 200**2, noise, 24).astype("<u2")
    image = Dataset()
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.SOPInstanceUID = "1.2.3"
    image.compress(syntax, stored, generate_instance_uid=False)
    return frames_of(image.PixelData, syntax, 1)[0]


def in_this_process(frame: bytes, syntax: UID) -> None:
    """As pydicom decodes a frame."""
    get_decoder(syntax).as_array(
        encapsulate([frame]),
        index=0,
        rows=SIDE,
        columns=SIDE,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=16,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        pixel_keyword="PixelData",
        decoding_plugin="pydicom" if syntax == RLELossless else "gdcm",
    )


def processor_s(pid: int) -> float:
    """Processor time that a process has used (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ms_a_frame(work: Callable[[], object], used: Callable[[], float]) -> float:
    before = used()
    for _ in range(FRAMES):
        work()
    return 1000 * (used() - before) / FRAMES


def measured(syntax: UID, rounds: int) -> dict[str, float]:
    """Medians of processor time a frame, both ways in turns."""
    decoder, frame = Decoder(), compressed(syntax)
    decoder.decode(frame, syntax, LAYOUT)
    assert decoder._child is not None
    child = decoder._child.process.pid
    ours, theirs = [], []
    for _ in range(rounds):
        both = lambda: time.process_time() + processor_s(child)  # noqa: E731
        ours.append(ms_a_frame(lambda: decoder.decode(frame, syntax, LAYOUT), both))
        theirs.append(ms_a_frame(lambda: in_this_process(frame, syntax), time.process_time))
    decoder.close()
    child_ms, here_ms = statistics.median(ours), statistics.median(theirs)
    return {"child_ms": child_ms, "one_process_ms": here_ms, "ratio": child_ms / here_ms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    syntaxes = (JPEGLSLossless, JPEG2000Lossless, RLELossless)
    found = {s.name: measured(s, options.rounds) for s in syntaxes}
    text = json.dumps(found, indent=2)
    print(text)
    if options.record:
        options.record.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
