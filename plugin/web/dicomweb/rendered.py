"""A grey image as a person sees it: windowed, scaled, as JPEG or PNG (PS3.18 8.3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_io.errors import DicomError
from dicom_io.slices.frames import slices_of_instance
from dicom_io.slices.pixels import Pixels
from dicom_io.slices.read import read_instance
from dicom_io.slices.slices import Slice
from plugin.web.dicomweb.archive import Kept
from plugin.web.dicomweb.problems import Refused

# Soft tissue, where neither the request nor the header names a window
_CENTER, _WIDTH = 40.0, 400.0
_MOST_A_SIDE = 4096
THUMBNAIL = (128, 128)
"""PS3.18 10.4.1.1.4 leaves the size to the server."""
DEFAULT_QUALITY = 90


@dataclass(frozen=True)
class Look:
    """How an image is rendered.

    Parameters
    ----------
    window : tuple, optional
        Centre and width in HU, and one of PS3.3 C.11.2.1.2: linear, linear-exact, sigmoid.
    viewport : tuple of int, optional
        Width and height that the image is fitted into.
    quality : int
        Of a JPEG, 1 to 100.
    png : bool
        PNG instead of JPEG.
    """

    window: tuple[float, float, str] | None = None
    viewport: tuple[int, int] | None = None
    quality: int = DEFAULT_QUALITY
    png: bool = False

    @property
    def media_type(self) -> str:
        return "image/png" if self.png else "image/jpeg"


def parse_window(text: str | None) -> tuple[float, float, str] | None:
    """Read `window=center,width,function` (PS3.18 8.3.5.1.4).

    Raises
    ------
    Refused
        It is none.
    """
    if text is None:
        return None
    center, width, function = [*text.split(","), "linear", "linear"][:3]
    try:
        numbers = float(center), float(width)
    except ValueError:
        numbers = (0.0, 0.0)
    least = 1.0 if function == "linear" else np.nextafter(0.0, 1.0)
    known = function in ("linear", "linear-exact", "sigmoid") and len(text.split(",")) in (2, 3)
    if not (known and all(map(np.isfinite, numbers)) and numbers[1] >= least):
        raise Refused(400, "bad-window", "window is center,width or center,width,function")
    return (*numbers, function)


def parse_viewport(text: str | None) -> tuple[int, int] | None:
    """Read `viewport=width,height`; parts of an image are not rendered.

    Raises
    ------
    Refused
        It is none.
    """
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(p.isdecimal() and 0 < int(p) <= _MOST_A_SIDE for p in parts):
        raise Refused(400, "bad-viewport", f"viewport is width,height, each 1 to {_MOST_A_SIDE}")
    return int(parts[0]), int(parts[1])


def render(kept: Kept, number: int, look: Look) -> bytes:
    """Render a frame.

    Parameters
    ----------
    kept : Kept
        The instance.
    number : int
        Of the frame, 1 first.
    look : Look
        How it is rendered.

    Raises
    ------
    Refused
        There is no such frame, or it is no grey image that can be read.
    """
    try:
        slices = slices_of_instance(read_instance(kept.path))
        if not 0 < number <= len(slices):
            raise Refused(404, "no-such-frame", f"the instance has {len(slices)} frames")
        one = slices[number - 1]
        grey = _windowed(Pixels().hu_of(one), *(look.window or _window_of(one)))
    except DicomError as error:
        raise Refused(406, "not-rendered", f"the image cannot be rendered: {error}") from error
    if one.layout.photometric == "MONOCHROME1":
        grey = 255 - grey
    image = Image.fromarray(grey)
    if look.viewport is not None:
        image.thumbnail(look.viewport)
    buffer = BytesIO()
    image.save(buffer, "PNG" if look.png else "JPEG", quality=look.quality)
    return buffer.getvalue()


def _window_of(one: Slice) -> tuple[float, float, str]:
    """The first window of the header."""
    center, width = one.number_of("WindowCenter"), one.number_of("WindowWidth")
    if center is None or width is None or width < 1:
        return _CENTER, _WIDTH, "linear"
    return center, width, "linear"


def _windowed(hu: NDArray[Any], center: float, width: float, function: str) -> NDArray[np.uint8]:
    """Grey values 0 to 255 (PS3.3 C.11.2.1.2.1 and C.11.2.1.3)."""
    values = hu.astype(np.float64)
    if function == "sigmoid":
        exponent = np.clip(-4 * (values - center) / width, -700, 700)  # exp goes no further
        share = 1 / (1 + np.exp(exponent))
    elif function == "linear-exact":
        share = (values - center) / width + 0.5
    else:
        # A width of 1 is a threshold: 0 or 1 on its two sides
        share = (values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
    return np.asarray(np.round(255 * np.clip(share, 0, 1)), np.uint8)
