"""How the header says that the pixels of one frame are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import GeometryError, UnreadableImage

MOST_PIXELS_A_SIDE = 8192
"""CT is reconstructed to 256 to 2048 pixels a side; four times that is still taken."""

_ALLOCATED = (8, 16, 32)  # PS3.3 A.3 allows 16 for CT; 8 is lossy JPEG, 32 some research writers
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True)
class PixelLayout:
    """The Image Pixel attributes (PS3.3 C.7.6.3) of an image with one value a pixel.

    Parameters
    ----------
    rows, columns : int
        Size of a frame.
    bits_allocated, bits_stored, high_bit : int
        Width of a stored value, how much of it counts, and its highest bit.
    signed : bool
        Whether PixelRepresentation says two's complement.
    photometric : str
        MONOCHROME1 or MONOCHROME2; HU are alike in both.

    Raises
    ------
    GeometryError
        The size is none of a CT image.
    UnreadableImage
        Bits or colours that no CT image has.
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str = "MONOCHROME2"

    def __post_init__(self) -> None:
        if not all(0 < side <= MOST_PIXELS_A_SIDE for side in (self.rows, self.columns)):
            raise GeometryError(
                f"{self.rows} rows and {self.columns} columns, "
                f"where 1 to {MOST_PIXELS_A_SIDE} are taken"
            )
        if self.bits_allocated not in _ALLOCATED or not (
            0 < self.bits_stored <= self.high_bit + 1 <= self.bits_allocated
        ):
            raise UnreadableImage(
                f"{self.bits_stored} bits up to bit {self.high_bit} "
                f"cannot be stored in {self.bits_allocated}"
            )
        if self.photometric not in _MONOCHROME:
            raise UnreadableImage(f"photometric interpretation {self.photometric[:16]}, not grey")

    @property
    def frame_bytes(self) -> int:
        """Length of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    def values_of(self, frame: bytes, byte_order: str = "<") -> NDArray[Any]:
        """The values of an uncompressed frame: no unused bits, the sign extended (PS3.5 8.1.1).

        Parameters
        ----------
        frame : bytes
            Of `frame_bytes`.
        byte_order : str
            "<" or ">".

        Returns
        -------
        ndarray of int, shape (rows, columns)
        """
        kind = "i" if self.signed else "u"
        values = np.frombuffer(frame, f"{byte_order}{kind}{self.bits_allocated // 8}")
        values = values.astype(values.dtype.newbyteorder("="))  # a copy that may be changed
        if unused := self.bits_allocated - self.bits_stored:
            values <<= self.bits_allocated - 1 - self.high_bit
            values >>= unused
        return values.reshape(self.rows, self.columns)
