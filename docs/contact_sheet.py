"""Draw the contact sheet of the detailed phantoms: `python -m docs.contact_sheet`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS
from dicom_io.phantoms.detailed.look_alikes import LOOK_ALIKES
from dicom_io.phantoms.detailed.phantom import draw_study, make_detailed_phantom
from dicom_io.phantoms.phantom import Phantom
from dicom_io.phantoms.truth import PHASES, Plane

OUT = Path(__file__).with_name("images") / "phantoms.jpg"
COLUMNS, TILE, CAPTION = 6, 200, 34
SOFT, LUNG = (40.0, 400.0), (-550.0, 1500.0)
"""Centre and width of the window, in HU."""

IN_LUNGS = {"pulmonary nodule", "pneumothorax", "thick vessel", "bulla", "atelectasis"}

Drawn = tuple[str, Phantom, int, tuple[float, float]]
"""Caption, phantom, slice, window."""


def main() -> None:
    """Write it into docs/images."""
    tiles = [tile(*drawn) for drawn in (*findings(), *look_alikes(), *views())]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * TILE, rows * (TILE + CAPTION)), 255)
    for number, image in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(image, (column * TILE, row * (TILE + CAPTION)))
    sheet.save(OUT, quality=85)
    print(OUT)


def findings() -> Iterator[Drawn]:
    """One phantom for each finding, in the slice that shows most of it."""
    for name in DETAILED_FINDINGS:
        phantom = first(
            lambda seed, name=name: named(seed, name, extent=0.4),
            lambda p, name=name: p.regions[name].any(),
        )
        found = phantom.truth.finding(name)
        assert found is not None
        size = f"{found.size_mm} mm" if found.size_mm else ""
        caption = f"{name}\n{' '.join(filter(None, (found.side, found.place, size)))}"
        yield caption, phantom, most(phantom.regions[name]), window(name)


def look_alikes() -> Iterator[Drawn]:
    """One phantom for each look-alike."""
    for name in LOOK_ALIKES:
        phantom = first(lambda seed: axial(seed), lambda p, name=name: name in p.look_alikes)
        yield f"no finding:\n{name}", phantom, most(phantom.look_alikes[name]), window(name)


def views() -> Iterator[Drawn]:
    """The phases, and regions as they are scanned."""
    for phase in PHASES:
        phantom = make_detailed_phantom(3, plane="coronal", phase=phase, region="abdomen")
        yield f"abdomen\n{phase}", phantom, int(0.62 * len(phantom.volume.hu)), SOFT
    for seed, region, plane in (
        (12, "head", "axial"),
        (4, "head to pelvis", "coronal"),
        (11, "head to pelvis", "sagittal"),
        (8, "chest", "axial"),
        (30, "chest", "coronal"),
        (21, "chest and abdomen", "sagittal"),
    ):
        phantom = make_detailed_phantom(seed, plane=plane, region=region)  # type: ignore[arg-type]
        scan = phantom.scan
        assert scan is not None
        about = f"{scan.kernel}, {scan.thickness_mm:.1f} mm, {scan.position}"
        yield f"{region}\n{about}", phantom, len(phantom.volume.hu) // 2, SOFT


def first(
    wanted: Callable[[int], bool], shows: Callable[[Phantom], object], plane: Plane = "axial"
) -> Phantom:
    """The first phantom that is wanted by what is drawn of it, and shows it."""
    for seed in range(2000):
        if wanted(seed):
            phantom = make_detailed_phantom(seed, plane=plane)
            if shows(phantom):
                return phantom
    raise LookupError("no seed")


def named(seed: int, name: str, extent: float) -> bool:
    """Whether a seed has the finding, well to be seen."""
    found = draw_study(seed).truth.finding(name)
    return axial(seed) and found is not None and found.extent > extent


def axial(seed: int) -> bool:
    """Whether a seed has slices in which small things are seen."""
    return draw_study(seed).scan.region in ("chest", "abdomen")


def most(where: NDArray[np.bool_]) -> int:
    """The slice that shows most of a region."""
    return int(where.sum(axis=(1, 2)).argmax())


def window(name: str) -> tuple[float, float]:
    """What a reader would choose."""
    return LUNG if name in IN_LUNGS else SOFT


def tile(caption: str, phantom: Phantom, index: int, window: tuple[float, float]) -> Image.Image:
    """Draw the body in one slice with its caption, in its true proportions."""
    low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    hu = phantom.volume.hu[index]
    rows, columns = (np.flatnonzero((hu > -300).any(axis=axis)) for axis in (1, 0))
    body = hu[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grey = np.clip((body - low) / (high - low), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8))
    scale = TILE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    image = Image.new("L", (TILE, TILE + CAPTION), 0)
    image.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, TILE, TILE, TILE + CAPTION), fill=255)
    draw.multiline_text((4, TILE + 2), caption, fill=0, font=ImageFont.load_default(11))
    return image


if __name__ == "__main__":
    main()
