"""How a server of another make is asked: which slices as which images, and in which words."""

from __future__ import annotations

import tomllib
from dataclasses import field
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.protocol import Region

LARGEST = 2048
"""Rows and columns that a slice may have: the largest matrix that CT devices reconstruct."""

PRESETS = files("engine.serving") / "presets"
"""Folder of the files that ship with the package."""

Window = tuple[float, Annotated[float, Field(gt=0)]]
"""Centre and width in HU."""


@dataclass(frozen=True, config={"extra": "forbid"})
class Asking:
    """What one request to a model for images says.

    Parameters
    ----------
    model : str
        The name by which the server knows it.
    slices : int
        The most that are sent; `dicom_io.model_input.preprocess.spread` chooses them.
    windows : tuple of (centre, width)
        In HU: one makes grey images, three make red, green and blue.
    report : str
        What asks for a report; it comes last, as a question does in its place.
    instruction : str
        What comes before the first image.
    caption : str
        What follows each image; `{number}` counts from 1.
    size : int, optional
        Rows and columns of an image, whatever the slice's shape; as the slice is without it.
    regions : tuple of Region
        What the model was trained on; it abstains where a study shows other regions only.
    temperature : float
        Where the service asks for none; 0 takes the likeliest token at every step.
    """

    model: Annotated[str, Field(min_length=1)]
    slices: Annotated[int, Field(ge=1, le=1000)]
    windows: tuple[Window, ...]
    report: Annotated[str, Field(min_length=1)]
    instruction: str = ""
    caption: str = ""
    size: Annotated[int, Field(ge=16, le=LARGEST)] | None = None
    regions: tuple[Region, ...] = ()
    temperature: Annotated[float, Field(ge=0)] = 0.0
    preprocess: PreprocessSpec = field(init=False)

    def __post_init__(self) -> None:
        if len(self.windows) not in (1, 3):
            raise ValueError(f"windows: one, or three; got {len(self.windows)}")
        low = min(centre - width / 2 for centre, width in self.windows)
        high = max(centre + width / 2 for centre, width in self.windows)
        spec = PreprocessSpec(
            size=(self.slices, LARGEST, LARGEST),
            window=((low + high) / 2, high - low),
            scaling="fixed",
            crop_foreground=False,
            interpolation="none",
        )
        object.__setattr__(self, "preprocess", spec)

    def images(self, model_input: ModelInput) -> list[bytes]:
        """Return the slices as PNG files that hold pixels and nothing else."""
        assert self.preprocess.window is not None
        centre, width = self.preprocess.window
        return [
            # to 0.01 HU, which undoes the rounding of float32
            self._png(np.round(pixels.astype(np.float64) * width + (centre - width / 2), 2))
            for pixels in model_input.pixels[0]
        ]

    def _png(self, hu: NDArray[np.float64]) -> bytes:
        channels = [windowed(hu, *window) for window in self.windows]
        image = Image.fromarray(channels[0] if len(channels) == 1 else np.stack(channels, axis=-1))
        if self.size is not None:
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        file = BytesIO()
        image.save(file, "PNG")
        return file.getvalue()


def windowed(hu: NDArray[np.float64], centre: float, width: float) -> NDArray[np.uint8]:
    """HU -> grey values 0 … 255, halves to even.

    Parameters
    ----------
    hu : ndarray
        Of any shape.
    centre, width : float
        Of the window, in HU.
    """
    low = centre - width / 2
    share = (hu.clip(low, low + width) - low).astype(np.float32) / np.float32(width)
    return np.round(share * np.float32(255)).astype(np.uint8)


def read_asking(name: str | Path) -> Asking:
    """Read a preset by its name, or a TOML file by its path.

    Raises
    ------
    EngineError
        There is none, or what it says makes no sense.
    """
    known = sorted(preset.name.removesuffix(".toml") for preset in PRESETS.iterdir())
    try:
        own = PRESETS / f"{name}.toml" if name in known else Path(name)
        return Asking(**tomllib.loads(own.read_text(encoding="utf-8")))
    except OSError:
        raise EngineError(f"{name} is no file, and no preset: {', '.join(known)}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise EngineError(f"{name}: {where}: {first['msg']}") from None
    except (ValueError, TypeError) as error:
        raise EngineError(f"{name}: {error}") from None
